using System.Net;
using System.Text.Json;
using UffdManager.EndToEnd.Tests;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Snapshots by the control API, on a real daemon.</summary>
public sealed class SnapshotControlTests : IDisposable
{
    private const ulong PageSize = 4096;
    private const ulong Pages = 1024;

    private static readonly ControlApiDocument s_document = ControlApiDocument.Read();

    private readonly TempDirectory _temp = new();

    private string Image => _temp.Combine("image.raw");

    [Fact]
    public async Task Image_and_its_description_appear_when_it_is_complete()
    {
        await using ControlledSession it = await ControlledSession.StartAsync();
        ulong at = MapFilled(it);
        JsonElement last = default;
        using (HttpResponseMessage response = await it.Control.SendAsync($"POST /v1/sessions/{it.Id}/snapshot", $$"""{ "out": "{{Image}}" }"""))
        {
            foreach (string line in (await response.Content.ReadAsStringAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                last = JsonDocument.Parse(line).RootElement;
                s_document.Check("SnapshotProgress", last);
            }
        }

        Assert.Equal((true, "written"), (last.GetProperty("done").GetBoolean(), last.GetProperty("result").GetString()));
        Assert.All(await File.ReadAllBytesAsync(Image), value => Assert.Equal(7, value));
        JsonElement description = JsonDocument.Parse(await File.ReadAllTextAsync(Image + ".json")).RootElement;
        s_document.Check("SnapshotImage", description);
        Assert.Equal(("address", (long)(Pages * PageSize)), (description.GetProperty("layout").GetString(), description.GetProperty("bytes").GetInt64()));
        Assert.Equal($"0x{at:x}", description.GetProperty("regions")[0].GetProperty("start").GetString());
        Assert.Equal(2, Directory.GetFiles(_temp.Path).Length);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Image));
        await it.Daemon.WaitForLogAsync($"The snapshot of session {it.Id} is in {Image}");

        // Nothing is overwritten, and nothing is left of what is refused.
        await it.Control.AskAsync($"POST /v1/sessions/{it.Id}/snapshot", HttpStatusCode.Conflict, $$"""{ "out": "{{Image}}" }""");
        await it.Control.AskAsync($"POST /v1/sessions/{it.Id}/snapshot", HttpStatusCode.BadRequest, """{ "out": "relative" }""");
        await it.Control.AskAsync($"POST /v1/sessions/{it.Id}/snapshot", HttpStatusCode.BadGateway, $$"""{ "out": "{{_temp.Combine("none", "image")}}" }""");
        await it.Control.AskAsync($"POST /v1/sessions/{it.Id}/snapshot", HttpStatusCode.NotFound, $$"""{ "out": "{{_temp.Combine("diff")}}", "base": "/etc/passwd" }""");
        await it.Control.AskAsync($"GET /v1/sessions/{it.Id}/snapshot", HttpStatusCode.Conflict);
        await it.Control.AskAsync($"DELETE /v1/sessions/{it.Id}/snapshot", HttpStatusCode.Conflict);
        Assert.Equal(2, Directory.GetFiles(_temp.Path).Length);
        it.Client.Run($"fill {at} {Pages * PageSize} 8");
        Assert.True(it.Client.IsFilledWith(at, Pages * PageSize, 8));
    }

    [SkippableFact]
    public async Task Snapshot_that_fails_leaves_no_file_and_a_session_that_goes_on()
    {
        Require.Mounting();
        await using ControlledSession it = await ControlledSession.StartAsync();
        ulong at = MapFilled(it);
        string full = _temp.Combine("full");
        Directory.CreateDirectory(full);
        Run("mount", "-t", "tmpfs", "-o", "size=1m", "none", full);
        try
        {
            using HttpResponseMessage response = await it.Control.SendAsync(
                $"POST /v1/sessions/{it.Id}/snapshot", $$"""{ "out": "{{Path.Combine(full, "image")}}" }""");
            string last = (await response.Content.ReadAsStringAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1];
            Assert.Contains(response.StatusCode == HttpStatusCode.OK ? "\"failed\"" : "cannot be written", last, StringComparison.Ordinal);
            Assert.Contains("ENOSPC", last, StringComparison.Ordinal);
            Assert.Empty(Directory.GetFiles(full));
        }
        finally
        {
            Run("umount", "-l", full);
        }

        it.Client.Run($"fill {at} {Pages * PageSize} 8");
        Assert.True(it.Client.IsFilledWith(at, Pages * PageSize, 8));
    }

    public void Dispose() => _temp.Dispose();

    private static ulong MapFilled(ControlledSession it)
    {
        ulong at = it.MapRegistered(Pages * PageSize);
        it.Client.Run($"fill {at} {Pages * PageSize} 7");
        return at;
    }

    private static void Run(string program, params string[] arguments)
    {
        using System.Diagnostics.Process process = System.Diagnostics.Process.Start(program, arguments);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }
}
