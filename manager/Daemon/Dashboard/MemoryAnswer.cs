using Microsoft.AspNetCore.Http;

namespace UffdManager.Daemon.Dashboard;

/// <summary>Answer to a question about the regions of a session.</summary>
/// <param name="Status">Of HTTP.</param>
/// <param name="Json">A <see cref="SessionMemory"/>; null unless all went well.</param>
/// <param name="Reason">Why it did not.</param>
internal sealed record MemoryAnswer(int Status, ReadOnlyMemory<byte>? Json, string Reason)
{
    public static MemoryAnswer Of(ReadOnlyMemory<byte> json) => new(StatusCodes.Status200OK, json, "");

    public static MemoryAnswer Gone(long session) => new(StatusCodes.Status404NotFound, Json: null, $"there is no session {session}");

    public static MemoryAnswer Unavailable(string reason) => new(StatusCodes.Status503ServiceUnavailable, Json: null, reason);
}
