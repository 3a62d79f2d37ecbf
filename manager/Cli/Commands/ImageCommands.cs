using System.CommandLine;
using System.Text.Json.Nodes;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl image</c>: list, show, remove; add and warm are of their own.</summary>
internal static class ImageCommands
{
    public static Command Create() => new("image", "Images: memory files that clones are served from, and what is cached of them.")
    {
        ImageAddCommand.Create(), List(), Show(), Remove(), ImageWarmCommand.Create(),
    };

    /// <summary>The argument that names an image.</summary>
    public static Argument<string> Name() =>
        new Argument<string>("name") { Description = "Name of the image.", HelpName = "NAME" }.Completed(ValueKind.Image);

    /// <summary>Everything about an image.</summary>
    public static Facts Facts(ImageDto image)
    {
        Facts facts = new();
        facts.Add("Image", image.Name);
        facts.Add("State", new Cell(Text.Clean(image.State), StyleOf(image.State)));
        facts.AddIf(image.Problem is not null, "Problem", image.Problem);
        facts.Add("Size", Units.Bytes(image.Bytes));
        facts.AddIf(image.DataBytes is not null, "Data", $"{Units.Bytes(image.DataBytes ?? 0)}, the rest is zeros");
        facts.AddIf(image.Base is not null, "Base", image.Base);
        foreach (ImageLayerDto layer in image.Layers)
            facts.Add("File", Text.Clean(layer.Path));
        facts.Add("Page size", Units.Bytes(image.PageBytes));
        facts.Add("Reads", (image.Direct, image.IsDirect) switch
        {
            (false, _) => "through the page cache",
            (true, false) => "through the page cache: the file system has no direct I/O",
            _ => "past the page cache",
        });
        facts.AddIf(image.CachedBytes is not null, "Cached", Units.Bytes(image.CachedBytes ?? 0));
        facts.AddIf(image.ReadBytes is not null, "Read", $"{Units.Bytes(image.ReadBytes ?? 0)} since it was opened");
        facts.AddIf(image.Hits is not null, "Hits", Units.Count(image.Hits ?? 0));
        foreach (MappedShareDto share in image.Mapped)
            facts.Add("Mapped", $"{Units.Bytes(share.MemoryBytes)} of {Units.Bytes(share.SizeBytes)} in memory, for tenant {Text.Clean(share.Tenant)}");
        facts.Add("Added", image.AddedAt);
        WorkingSetCommands.Describe(facts, image.WorkingSets ?? [], image.WorkingSetsProblem);
        return facts;
    }

    private static Style StyleOf(string state) => state switch
    {
        "open" => Style.Good,
        "changed" or "missing" => Style.Bad,
        _ => Style.None,
    };

    private static Command List() => new Command("list", "List the images.").Gets(
        _ => new Query("images"),
        Documents.Types.ImageListDto,
        (context, list) =>
        {
            context.Print(Table(list.Images));
            foreach (string problem in list.Problems)
                context.Warn(Text.Clean(problem));
        });

    private static Table Table(IEnumerable<ImageDto> images)
    {
        Table table = new(
            new("NAME", Shrink: 8), new("STATE"), new("SIZE", 1, Right: true), new("CACHED", 2, Right: true), new("MAPPED", 3, Right: true), new("READ", 5, Right: true),
            new("HITS", 6, Right: true), new("FILES", 4, Right: true), new("BASE", 3), new("FILE", 2, Shrink: 8));
        foreach (ImageDto image in images)
        {
            table.Add(
                image.Name, new Cell(Text.Clean(image.State), StyleOf(image.State)), Units.Bytes(image.Bytes), OrDash(image.CachedBytes),
                OrDash(image.Mapped.Count > 0 ? image.Mapped.Sum(share => share.MemoryBytes) : null), OrDash(image.ReadBytes),
                image.Hits is { } hits ? Units.Count(hits) : "-", image.Layers.Count, image.Base ?? "-", image.Layers[^1].Path);
        }

        return table;
    }

    private static Cell OrDash(long? bytes) => bytes is { } number ? Units.Bytes(number) : "-";

    private static Command Show() => Lookup.Show(
        "Show everything about an image, with a look at its files.", Name(), "images", Documents.Types.ImageDto, (context, image) => context.Print(Facts(image)));

    private static Command Remove()
    {
        Argument<string> name = Name();
        return new Command("remove", "Forget an image; who is served from it goes on being served.") { name }.Deletes(
            context => new Query("images", context.Line.GetRequiredValue(name)),
            context => new JsonObject { ["removed"] = context.Line.GetRequiredValue(name) },
            context => $"image {Text.Clean(context.Line.GetRequiredValue(name))}: removed; its files are untouched");
    }
}
