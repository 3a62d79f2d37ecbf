using System.Text.Json;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>What an operator reads in the log.</summary>
public sealed class LogTests
{
    private const ulong PageSize = 4096;

    [Theory]
    [InlineData("json")]
    [InlineData("systemd")]
    [InlineData("simple")]
    public async Task Log_has_the_configured_form_and_a_healthy_session_costs_two_lines(string format)
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(
            environment: new Dictionary<string, string> { ["UFFD_MANAGER__logging__format"] = format });
        int before = daemon.LogLines.Count;
        using (ClientProcess client = ClientProcess.Start())
        {
            (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath);
            ulong address = client.Map("anon", PageSize).Address;
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, PageSize));
            Assert.Equal(0, client.ReadByte(address));
            connection.Dispose();
        }

        await daemon.WaitForLogAsync("ended, the process is gone: 1 faults");
        Assert.Equal(before + 2, daemon.LogLines.Count);
        Assert.All(daemon.LogLines, line => AssertForm(format, line));
    }

    [Fact]
    public async Task Level_of_the_configuration_silences_the_log()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        string quiet = DaemonProcess.DefaultConfiguration.TrimEnd().TrimEnd('}') + """, "logging": { "level": "error" } }""";
        await File.WriteAllTextAsync(daemon.ConfigurationPath, quiet);
        daemon.Reload();

        // The reload itself is not told any more: the metrics say when it is done.
        await UntilAsync(async () =>
            (await daemon.GetAsync("metrics")).Contains("uffd_manager_configuration_reloads_total{outcome=\"ok\"} 1", StringComparison.Ordinal));
        int before = daemon.LogLines.Count;
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath);
        connection.Dispose();
        await File.WriteAllTextAsync(daemon.ConfigurationPath, "{}");
        daemon.Reload();
        await daemon.WaitForLogAsync("keeping the one in use");
        Assert.Equal(before + 2, daemon.LogLines.Count);
    }

    [Fact]
    public async Task Page_that_cannot_be_had_is_poisoned_and_told_with_its_reason()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath, "poison");
        using (connection)
        {
            ulong address = RegisterTruncatedFile(daemon, client, connection);
            Assert.Equal(ClientReply.Sigbus, client.Try($"read {address + PageSize}").Signal);
            await daemon.WaitForLogAsync($"page 0x{address + PageSize:x} of pid {client.Pid}, tenant everybody, is poisoned");
            Assert.Equal(0x33, client.ReadByte(address));
            Assert.Contains("uffd_manager_poisoned_pages_total{tenant=\"everybody\"} 1", await daemon.GetAsync("metrics"), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Client_that_cannot_be_served_is_killed_and_told_with_its_reason()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(
            DaemonProcess.DefaultConfiguration.Replace("\"onUnavailable\": \"poison\"", "\"onUnavailable\": \"kill\"", StringComparison.Ordinal));
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath, "poison");
        using (connection)
        {
            ulong address = RegisterTruncatedFile(daemon, client, connection);
            client.Begin($"read {address + PageSize}");
            client.WaitForExit();
            await daemon.WaitForLogAsync($"pid {client.Pid} of tenant everybody is killed, page 0x{address + PageSize:x} cannot be had");
        }
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using CancellationTokenSource deadline = new(Eventually.DefaultDeadline);
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(20));
        while (!await condition())
            await timer.WaitForNextTickAsync(deadline.Token);
    }

    // Two pages of region; the second page's contents are gone before it is touched.
    private static ulong RegisterTruncatedFile(DaemonProcess daemon, ClientProcess client, WireConnection connection)
    {
        string path = Path.Combine(daemon.Directory, "image");
        File.WriteAllBytes(path, Enumerable.Repeat((byte)0x33, 2 * (int)PageSize).ToArray());
        using SafeFile file = FileIo.Open(path, OpenFlags.ReadOnly);
        ulong address = client.Map("anon", 2 * PageSize).Address;
        connection.Ask<RegisteredMessage>(WireConnection.Register(address, 2 * PageSize, flags: RegisterFlags.SourceFd), file);
        using (FileStream truncated = File.OpenWrite(path))
            truncated.SetLength((long)PageSize);
        return address;
    }

    private static void AssertForm(string format, string line)
    {
        switch (format)
        {
            case "json":
                using (var document = JsonDocument.Parse(line))
                    Assert.Equal(JsonValueKind.String, document.RootElement.GetProperty("Message").ValueKind);
                break;
            case "systemd":
                Assert.Matches("^<[3467]>UffdManager", line);
                break;
            default:
                Assert.Matches(@"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ (info|warn|fail): UffdManager", line);
                break;
        }
    }
}
