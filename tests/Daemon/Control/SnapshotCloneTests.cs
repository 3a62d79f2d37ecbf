using System.Net;
using System.Text.Json;
using UffdManager.EndToEnd.Tests;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>The whole way: a running client becomes an image, and a diff upon it, and clones of both hold its memory byte for byte.</summary>
public sealed class SnapshotCloneTests : IDisposable
{
    private const ulong PageSize = 4096;
    private const ulong Pages = 512;
    private const ulong Length = Pages * PageSize;

    private const string Configuration = """
        {
          "policies": { "zero": { } },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "zero", "policies": ["*"], "images": ["*"] } }
        }
        """;

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Clones_hold_the_memory_of_the_client_at_each_snapshot_byte_for_byte()
    {
        await using ControlledSession it = await ControlledSession.StartAsync(Configuration);
        ulong at = it.MapRegistered(Length);

        // Every third page differs from its neighbours, and the last quarter was never touched.
        for (ulong page = 0; page < Pages * 3 / 4; page++)
            it.Client.Run($"fill {at + (page * PageSize)} {PageSize} {(page % 3) + 1}");
        ulong before = it.Client.Run($"hash {at} {Length}");
        await SnapshotAsync(it.Control, it.Id, "full", null);

        // Written, given back, and first touched since: all of it is in the diff, and little else.
        it.Client.Run($"fill {at + (7 * PageSize)} {9 * PageSize} 9");
        it.Client.Run($"madvise {at + (100 * PageSize)} {5 * PageSize} 4");
        it.Client.WriteByte(at + ((Pages - 1) * PageSize), 5);
        ulong after = it.Client.Run($"hash {at} {Length}");
        await SnapshotAsync(it.Control, it.Id, "later", "full");
        JsonElement later = await it.Control.AskAsync("GET /v1/images/later");
        Assert.Equal("full", later.GetProperty("base").GetString());
        Assert.NotEqual(before, after);
        Assert.Equal(before, HashOfClone(it.Daemon, "full"));
        Assert.Equal(after, HashOfClone(it.Daemon, "later"));

        // The client goes on with what it had.
        Assert.Equal(after, it.Client.Run($"hash {at} {Length}"));
        string metrics = await it.Daemon.GetAsync("metrics");
        Assert.Contains("uffd_manager_live_snapshots_started_total{tenant=\"everybody\"} 2", metrics, StringComparison.Ordinal);
        Assert.Contains("uffd_manager_live_snapshots_total{end=\"written\",tenant=\"everybody\"} 2", metrics, StringComparison.Ordinal);
        Assert.Contains("uffd_manager_live_snapshots_total{end=\"stalled\",tenant=\"everybody\"} 0", metrics, StringComparison.Ordinal);
        Assert.Contains($"uffd_manager_live_snapshot_written_bytes_total{{tenant=\"everybody\"}} {((Pages * 3 / 4) + 15) * PageSize}", metrics, StringComparison.Ordinal);
        Assert.Contains("uffd_manager_live_snapshot_arm_seconds_count{tenant=\"everybody\"} 2", metrics, StringComparison.Ordinal);
    }

    private async Task SnapshotAsync(ControlClient control, long session, string name, string? baseImage)
    {
        string file = _directory.Combine(name);
        string onto = baseImage is null ? string.Empty : $$""", "base": "{{baseImage}}" """;
        using HttpResponseMessage response = await control.SendAsync($"POST /v1/sessions/{session}/snapshot", $$"""{ "out": "{{file}}"{{onto}} }""");
        string last = (await response.Content.ReadAsStringAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1];
        Assert.Contains("\"written\"", last, StringComparison.Ordinal);
        await control.AskAsync("POST /v1/images", HttpStatusCode.Created, $$"""{ "name": "{{name}}", "file": "{{file}}"{{onto}} }""");
    }

    private static ulong HashOfClone(DaemonProcess daemon, string image)
    {
        using ClientProcess clone = ClientProcess.Start();
        using WireConnection connection = WireConnection.Attach(clone, daemon.SocketPath).Connection;
        ulong at = clone.Map("anon", Length).Address;
        connection.Ask<RegisteredMessage>(WireConnection.Register(at, Length, source: $"image:{image}"));
        return clone.Run($"hash {at} {Length}");
    }
}
