using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>SIGHUP: new clients live under the new configuration, live sessions notice nothing.</summary>
public sealed class ReloadTests
{
    private const ulong Length = 4 * 4096;

    [Fact]
    public async Task Reload_keeps_live_sessions_and_serves_new_ones_by_the_new_policies()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ClientProcess old = ClientProcess.Start();
        (WireConnection before, _) = WireConnection.Attach(old, daemon.SocketPath);
        ulong address = old.Map("anon", Length).Address;
        before.Ask<RegisteredMessage>(WireConnection.Register(address, Length));
        Assert.Equal(0, old.ReadByte(address));

        string image = Path.Combine(daemon.Directory, "image");
        await File.WriteAllBytesAsync(image, Enumerable.Repeat((byte)0x77, (int)Length).ToArray());
        await File.WriteAllTextAsync(daemon.ConfigurationPath, $$"""
            {
              "policies": { "image": { "source": { "kind": "file", "path": "{{image}}" } } },
              "tenants": { "newcomers": { "default": true, "defaultPolicy": "image" } }
            }
            """);
        daemon.Reload();
        await daemon.WaitForLogAsync("Configuration read again: 1 tenants, 1 policies");

        using ClientProcess young = ClientProcess.Start();
        (WireConnection after, WelcomeMessage welcome) = WireConnection.Attach(young, daemon.SocketPath);
        Assert.Equal(("newcomers", "image"), (welcome.Tenant, welcome.Policy));
        ulong fresh = young.Map("anon", Length).Address;
        after.Ask<RegisteredMessage>(WireConnection.Register(fresh, Length));
        Assert.True(young.IsFilledWith(fresh, Length, 0x77));

        // The live session: its region goes on, its connection answers, its tenant is the one it came as.
        Assert.True(old.IsFilledWith(address, Length, 0));
        Assert.Equal("everybody", before.Ask<StatusReplyMessage>(new StatusMessage()).Tenant);
        before.Dispose();
        after.Dispose();
    }

    [Fact]
    public async Task Reload_of_an_invalid_configuration_changes_nothing_and_logs_every_error()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await File.WriteAllTextAsync(daemon.ConfigurationPath, """
            { "policies": { "zero": { "deadline": "never" }, "image": { "source": { "kind": "file", "path": "/nowhere" } } },
              "tenants": { "t": { "default": true, "defaultPolicy": "none" } } }
            """);
        daemon.Reload();
        await daemon.WaitForLogAsync("keeping the one in use");
        Assert.Contains(daemon.LogLines, line => line.Contains("policies.zero.deadline", StringComparison.Ordinal));
        Assert.Contains(daemon.LogLines, line => line.Contains("tenants.t.defaultPolicy", StringComparison.Ordinal));

        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(client, daemon.SocketPath);
        Assert.Equal("everybody", welcome.Tenant);
        connection.Dispose();
    }

    [Fact]
    public async Task Reload_says_which_changes_need_a_restart()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        string changed = DaemonProcess.DefaultConfiguration.TrimEnd().TrimEnd('}') + """, "engine": { "fetchThreads": 3 } }""";
        await File.WriteAllTextAsync(daemon.ConfigurationPath, changed);
        daemon.Reload();
        await daemon.WaitForLogAsync("The changes of engine need a restart");
        await daemon.WaitForLogAsync("Configuration read again");
    }
}
