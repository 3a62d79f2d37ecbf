using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using UffdManager.Control;

namespace UffdManager.Daemon.Dashboard;

/// <summary>An event of the stream as bytes (text/event-stream), written once and sent to every page.</summary>
internal static class LiveEvent
{
    /// <summary>Last event of a daemon that stops.</summary>
    public static readonly ReadOnlyMemory<byte> Stopping = "event: bye\ndata: {}\n\n"u8.ToArray();

    public static ReadOnlyMemory<byte> Hello(LiveHello hello) => Write("hello"u8, hello, DashboardJson.Default.LiveHello);

    public static ReadOnlyMemory<byte> Frame(LiveFrame frame) => Write("frame"u8, frame, DashboardJson.Default.LiveFrame);

    public static ReadOnlyMemory<byte> Latency(LatencyHistoryDto history) => Write("latency"u8, history, DashboardJson.Default.LatencyHistoryDto);

    public static ReadOnlyMemory<byte> Trouble(LiveTrouble trouble) => Write("trouble"u8, trouble, DashboardJson.Default.LiveTrouble);

    private static ReadOnlyMemory<byte> Write<T>(ReadOnlySpan<byte> name, T document, JsonTypeInfo<T> type)
    {
        // The writer makes no line breaks, so a document is one data line.
        using MemoryStream bytes = new();
        bytes.Write("event: "u8);
        bytes.Write(name);
        bytes.Write("\ndata: "u8);
        JsonSerializer.Serialize(bytes, document, type);
        bytes.Write("\n\n"u8);
        return bytes.ToArray();
    }
}
