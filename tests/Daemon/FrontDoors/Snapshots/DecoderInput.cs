using System.Text;
using UffdManager.Daemon.FrontDoors.Snapshots;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>Gives messages to the decoder as a socket would.</summary>
internal static class DecoderInput
{
    public static readonly HandedKind[] Uffd = [HandedKind.Userfaultfd];

    /// <summary>As each Firecracker writes a region.</summary>
    public static string Region(string version, ulong address, ulong size, ulong offset, ulong page) => version switch
    {
        "1.1" => $$"""{"base_host_virt_addr":{{address}},"size":{{size}},"offset":{{offset}}}""",
        "1.7" => $$"""{"base_host_virt_addr":{{address}},"size":{{size}},"offset":{{offset}},"page_size_kib":{{page}}}""",
        "1.12" => $$"""{"base_host_virt_addr":{{address}},"size":{{size}},"offset":{{offset}},"page_size":{{page}},"page_size_kib":{{page}}}""",
        "2.0" => $$"""{"base_host_virt_addr":{{address}},"size":{{size}},"offset":{{offset}},"page_size":{{page}}}""",
        _ => throw new ArgumentOutOfRangeException(nameof(version), version, "not a version"),
    };

    /// <summary>All at once.</summary>
    public static HandOverStep Decode(string message, params HandedKind[] kinds) => new FirecrackerDecoder().Decode(Encoding.UTF8.GetBytes(message), kinds);

    /// <summary>In pieces; the descriptors come with the first. Fails if anything comes out before the last piece.</summary>
    public static HandOverStep DecodeInPieces(ReadOnlySpan<byte> message, IEnumerable<int> ends, IReadOnlyList<HandedKind> kinds)
    {
        FirecrackerDecoder decoder = new();
        foreach (int end in ends)
        {
            HandOverStep step = decoder.Decode(message[..end], kinds);
            if (step != HandOverStep.NeedsMore)
                return step;
        }

        return decoder.Decode(message, kinds);
    }

    public static string Text(HandOverStep step) => step.Refusal
        ?? (step.HandOver is { } it ? $"{it.PageBytes} {it.Uffd}: {string.Join(", ", it.Regions)}" : "needs more");
}
