using Microsoft.AspNetCore.Http;

namespace UffdManager.Daemon.Control;

/// <summary>A type of problem, as docs/CONTROL-API.md lists them.</summary>
/// <param name="Name">The end of its URN; stable.</param>
/// <param name="Status">HTTP status.</param>
/// <param name="Title">The same in a few words.</param>
internal sealed record ProblemKind(string Name, int Status, string Title)
{
    public const string Urn = "urn:uffd-manager:problem:";

    public static ProblemKind BadRequest { get; } = new("bad_request", StatusCodes.Status400BadRequest, "The request cannot be understood");

    public static ProblemKind Forbidden { get; } = new("forbidden", StatusCodes.Status403Forbidden, "Not allowed");

    public static ProblemKind NotFound { get; } = new("not_found", StatusCodes.Status404NotFound, "There is no such thing");

    public static ProblemKind MethodNotAllowed { get; } = new("method_not_allowed", StatusCodes.Status405MethodNotAllowed, "Not with this method");

    public static ProblemKind Conflict { get; } = new("conflict", StatusCodes.Status409Conflict, "Not in the present state");

    public static ProblemKind TooLarge { get; } = new("too_large", StatusCodes.Status413PayloadTooLarge, "The body is too long");

    public static ProblemKind ConfigurationInvalid { get; } = new("configuration_invalid", StatusCodes.Status422UnprocessableEntity, "The configuration has errors");

    public static ProblemKind Busy { get; } = new("busy", StatusCodes.Status429TooManyRequests, "Too many of these are running");

    public static ProblemKind Internal { get; } = new("internal", StatusCodes.Status500InternalServerError, "A defect of the daemon");

    public static ProblemKind Kernel { get; } = new("kernel", StatusCodes.Status502BadGateway, "The kernel refused");

    public static ProblemKind Unavailable { get; } = new("unavailable", StatusCodes.Status503ServiceUnavailable, "Not now");

    public static IReadOnlyList<ProblemKind> All { get; } =
        [BadRequest, Forbidden, NotFound, MethodNotAllowed, Conflict, TooLarge, ConfigurationInvalid, Busy, Internal, Kernel, Unavailable];
}
