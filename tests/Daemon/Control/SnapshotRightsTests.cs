using System.Net;
using System.Text.Json;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>A daemon that may not look into the memory of another user's program, as the installed unit may not.</summary>
public sealed class SnapshotRightsTests
{
    private const uint Nobody = 65534;
    private const ulong Length = 8 * 4096;

    [SkippableFact]
    public async Task Refusal_names_the_capability_and_the_drop_in_that_gives_it()
    {
        Require.Root();
        Skip.IfNot(await DaemonProcess.IsReadableByAsync(Nobody), "the build output cannot be read by other users");
        using TempDirectory images = new();
        File.SetUnixFileMode(images.Path, (UnixFileMode)0b111_111_111);
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(uid: Nobody);
        using ControlClient control = new(daemon);
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(client, daemon.SocketPath);
        using WireConnection held = connection;
        ulong at = client.Map("anon", Length).Address;
        connection.Ask<RegisteredMessage>(WireConnection.Register(at, Length));
        JsonElement problem = await control.AskAsync(
            $"POST /v1/sessions/{welcome.SessionId}/snapshot", HttpStatusCode.BadGateway, $$"""{ "out": "{{images.Combine("image")}}" }""");
        Assert.Contains("CAP_DAC_READ_SEARCH", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Contains("snapshots.conf", problem.GetProperty("remedy").GetString(), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(images.Path));
        Assert.True(client.IsFilledWith(at, Length, 0));
    }
}
