using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using UffdManager.Control;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.WorkingSets;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>What is known of the pages that runs touch, and forgetting it.</summary>
internal sealed partial class WorkingSetRoutes(WorkingSetBooks books, ImageRegistry images, ILogger<WorkingSetRoutes> logger) : IControlRoutes
{
    private const string Template = "/v1/working-sets";

    private readonly SharedWork<(SourceIdentity Source, string? Location)> _looks = new();

    public IEnumerable<ControlRoute> Routes =>
    [
        new(HttpMethods.Get, Template, AccessRight.Read, ListAsync),
        new(HttpMethods.Delete, Template, AccessRight.Admin, ForgetAsync),
    ];

    private async Task ListAsync(ControlRequest request)
    {
        Subject? subject = Read(request, out string? tenant);
        if (subject?.File is not null && request.Right < AccessRight.Admin)
        {
            throw new ProblemException(
                ProblemKind.Forbidden, "to ask for a file takes the right admin: the answer tells whether there is one, wherever it is", "ask for an image, or for all that are in use");
        }

        WorkingSetListDto list;
        if (subject is null)
        {
            list = new WorkingSetListDto { WorkingSets = books.InUse(tenant), Problem = null };
        }
        else
        {
            (SourceIdentity source, string? location) = await IdentifyAsync(subject, request.Aborted);
            list = await books.OfAsync(source, location, tenant, request.Aborted);
        }

        await ControlResponse.JsonAsync(request.Http, list, ControlResponse.Json.WorkingSetListDto);
    }

    private async Task ForgetAsync(ControlRequest request)
    {
        Subject subject = Read(request, out string? tenant)
            ?? throw new ProblemException(ProblemKind.BadRequest, "it is not said of which source to forget the working set", "give file=PATH or image=NAME");
        (SourceIdentity source, string? location) = await IdentifyAsync(subject, request.Aborted);
        (int forgotten, string? problem) = await books.ForgetAsync(source, location, tenant, request.Aborted);
        if (problem is not null)
            throw new ProblemException(ProblemKind.Unavailable, problem, WorkingSetBooks.Remedy);
        if (forgotten == 0)
            throw new ProblemException(ProblemKind.NotFound, $"nothing is known of the pages that runs of {subject.Text} touch", $"GET {Template} lists what is known");
        LogForgotten(subject.Text, tenant ?? "every tenant", request.Peer);
        request.Http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static Subject? Read(ControlRequest request, out string? tenant)
    {
        string? file = request.Text("file");
        string? image = request.Text("image");
        tenant = request.Text("tenant");
        request.RefuseOthers();
        if (file is not null && image is not null)
            throw new ProblemException(ProblemKind.BadRequest, "both a file and an image are given", "give one of them");
        if (file is not null && (file.Length == 0 || file[0] != '/' || file.Contains('\0', StringComparison.Ordinal)))
            throw new ProblemException(ProblemKind.BadRequest, $"\"{file}\" is no absolute path");
        return file is null && image is null ? null : new Subject(file, image);
    }

    // One thread for all who ask for the same, however often: a file system may not answer.
    private Task<(SourceIdentity Source, string? Location)> IdentifyAsync(Subject subject, CancellationToken cancel) =>
        _looks.DoAsync(subject.Text, () => ImageRoutes.CarryOutAsync(() => subject.Image is { } name ? OfImage(name) : OfFile(subject.File!)), cancel);

    private (SourceIdentity Source, string? Location) OfImage(string name)
    {
        using OpenedImage opened = images.Open(name);
        return (opened.Source.Identity!.Value, opened.Source.Location);
    }

    private static (SourceIdentity Source, string? Location) OfFile(string path)
    {
        // Only looked at: nothing is read, and no FIFO waited for.
        using SafeFile? file = FileIo.TryOpen(path, OpenFlags.Path, out Errno errno);
        if (file is null)
            throw new ProblemException(ProblemKind.NotFound, $"{path}: {errno.Describe()}");
        FileStatus status = FileIo.Stat(file);
        return status.IsRegular
            ? (new SourceIdentity(status.Device, status.Inode, status.Size, status.ModifiedNanoseconds), FileIo.ReadDescriptorLink(file))
            : throw new ProblemException(ProblemKind.BadRequest, $"{path} is no regular file");
    }

    [LoggerMessage(2256, LogLevel.Information, "The working set of {Source} was forgotten for {Tenant}, for {Peer}")]
    private partial void LogForgotten(string source, string tenant, ControlPeer peer);

    private sealed record Subject(string? File, string? Image)
    {
        public string Text => File ?? $"image {Image}";
    }
}
