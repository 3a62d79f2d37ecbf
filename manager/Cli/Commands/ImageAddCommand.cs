using System.CommandLine;
using System.Net.Http.Headers;
using System.Text.Json;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl image add</c>.</summary>
internal static class ImageAddCommand
{
    public static Command Create()
    {
        Argument<string> name = new("name") { Description = "Name that the image is to have.", HelpName = "NAME" };
        Option<string> file = new Option<string>("--file") { Description = "The memory file; its holes are zeros, or with --base what the base has.", HelpName = "FILE", Required = true }
            .Completed(ValueKind.File);
        Option<string?> below = new Option<string?>("--base") { Description = "The image that the file is a diff upon.", HelpName = "IMAGE" }.Completed(ValueKind.Image);
        Option<int?> pageSize = new("--page-size")
        {
            Description = "4K or 2M: a page of which a diff has any byte is that diff's. Default: that of the base, or 4K.",
            HelpName = "SIZE",
            CustomParser = result =>
            {
                if (SizeArgument.TryParse(result.Tokens.Single().Value, out long bytes) && bytes is 4096 or (2 << 20))
                    return (int)bytes;
                result.AddError($"--page-size: '{result.Tokens.Single().Value}' is neither 4K nor 2M.");
                return null;
            },
        };
        Option<bool> direct = new("--direct") { Description = "Read the file past the page cache (O_DIRECT), where its file system can do that." };
        Command command = new("add", "Add a memory file as an image that clones can be served from.") { name, file, below, pageSize, direct };
        command.SetWork(async (context, cancel) =>
        {
            ImageAdditionDto addition = new()
            {
                Name = context.Line.GetRequiredValue(name),
                File = Path.GetFullPath(context.Line.GetRequiredValue(file)),
                Base = context.Line.GetValue(below),
                PageBytes = context.Line.GetValue(pageSize),
                Direct = context.Line.GetValue(direct),
            };
            using ByteArrayContent body = new(JsonSerializer.SerializeToUtf8Bytes(addition, Documents.Types.ImageAdditionDto));
            body.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            Answer<ImageDto> answer = await context.Client.SendAsync(HttpMethod.Post, "v1/images", body, Documents.Types.ImageDto, cancel);
            if (context.Json)
                context.PrintDocument(answer.Document);
            else
                context.Print(ImageCommands.Facts(answer.Value));
            return ExitCode.Ok;
        });
        return command;
    }
}
