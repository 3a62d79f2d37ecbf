using System.Text;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;
using Xunit.Abstractions;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>A restart in order, and an upgrade, take the same way as a crash: clients notice nothing but the time.</summary>
[Collection(SurvivalCollection.Name)]
public sealed class HandOverTests(SurvivalSource source, ITestOutputHelper output)
{
    private const string OldVersion = "0.1.0";
    private const string NewVersion = "0.1.9";

    [SkippableFact]
    public async Task Clients_find_every_byte_right_when_the_manager_is_restarted_ten_times()
    {
        await using SupervisedManager manager = await SupervisedManager.StartAsync();
        await using LoadClient first = LoadClient.Start(manager.SocketPath, source.Path, 31, "--threads", "3", "--fork-interval", "300");
        await using LoadClient second = LoadClient.Start(manager.SocketPath, source.Path, 32, "--kinds", "fzps", "--fields", "8", "--keeper");
        await first.AwaitAttachedAsync();
        await second.AwaitAttachedAsync();
        TimeSpan longest = TimeSpan.Zero;
        for (int i = 0; i < 10; i++)
        {
            TimeSpan outage = await manager.HandOverAsync();
            longest = outage > longest ? outage : longest;
        }

        foreach (LoadClient client in (LoadClient[])[first, second])
        {
            await client.AwaitProgressAsync();
            LoadResult result = await client.FinishAsync();
            output.WriteLine($"{result}; longest outage {longest.TotalMilliseconds:0} ms");
            Assert.True(result.Stall <= longest + TimeSpan.FromSeconds(4), $"a client {result.Stalled} for {result.Stall}, longest outage {longest}");
            Assert.Equal(0, result.Orphans);
            Assert.True(result.Reconnects >= 1);
        }

        Assert.Equal(10, manager.LogLines.Count(line => line.Contains("ended with exit code 0 ", StringComparison.Ordinal)));
        manager.AssertNoAccident();
        Assert.Equal(0, await manager.StopAsync());
    }

    [SkippableFact]
    public async Task Clients_find_every_byte_right_when_the_manager_is_upgraded_and_downgraded()
    {
        using TempDirectory directory = new();
        string old = Path.GetDirectoryName(DaemonProcess.DaemonAssembly)!;
        CopyWithVersion(old, directory.Combine("new"), NewVersion);
        string current = directory.Combine("current");
        Directory.CreateSymbolicLink(current, old);

        await using SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions
        {
            Daemon = ["dotnet", Path.Combine(current, Path.GetFileName(DaemonProcess.DaemonAssembly))],
        });
        await using LoadClient client = LoadClient.Start(manager.SocketPath, source.Path, 33, "--kinds", "fzps", "--fields", "8", "--threads", "3");
        await client.AwaitAttachedAsync();
        Assert.Contains(OldVersion, await manager.VersionAsync(), StringComparison.Ordinal);

        Directory.Delete(current);
        Directory.CreateSymbolicLink(current, directory.Combine("new"));
        await manager.HandOverAsync();
        Assert.Contains(NewVersion, await manager.VersionAsync(), StringComparison.Ordinal);
        await client.AwaitProgressAsync();

        Directory.Delete(current);
        Directory.CreateSymbolicLink(current, old);
        await manager.KillAndAwaitSuccessorAsync();
        Assert.Contains(OldVersion, await manager.VersionAsync(), StringComparison.Ordinal);
        await client.AwaitProgressAsync();
        await client.FinishAsync();
        manager.AssertNoAccident();
    }

    [SkippableFact]
    public async Task Limits_of_a_tenant_count_what_it_had_before_the_restart()
    {
        const string Configuration = """
            {
              "policies": { "zero": { "source": { "kind": "zero" } } },
              "tenants": {
                "narrow": {
                  "default": true, "defaultPolicy": "zero", "policies": ["*"],
                  "limits": { "registeredBytes": "64KiB", "sessions": 2, "regions": 3 }
                }
              }
            }
            """;
        await using SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions { Configuration = Configuration });
        using ClientProcess client = ClientProcess.Start();
        (WireConnection before, WelcomeMessage welcome) = WireConnection.Attach(client, manager.SocketPath);
        ulong address = client.Map("anon", 128 << 10).Address;
        using (before)
        {
            before.Ask<RegisteredMessage>(WireConnection.Register(address, 48 << 10));
            client.WriteByte(address, 7);
        }

        await manager.KillAndAwaitSuccessorAsync();

        using WireConnection after = WireConnection.Open(client, manager.SocketPath);
        HelloMessage resume = WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken };
        WelcomeMessage resumed = after.Ask<WelcomeMessage>(resume);
        Assert.Equal((WelcomeFlags.Resumed, welcome.SessionId, welcome.ResumeToken), (resumed.Flags, resumed.SessionId, resumed.ResumeToken));
        Assert.Equal(7, client.ReadByte(address));
        Assert.Equal(ErrorCode.Limit, after.Ask<ErrorMessage>(WireConnection.Register(address + (64 << 10), 32 << 10)).Code);
        after.Ask<RegisteredMessage>(WireConnection.Register(address + (64 << 10), 16 << 10));
        StatusReplyMessage status = after.Ask<StatusReplyMessage>(new StatusMessage());
        Assert.Equal((2UL, 64UL << 10, "narrow"), (status.Regions, status.RegisteredBytes, status.Tenant));
        Assert.Equal(2, await manager.MetricAsync("uffd_manager_regions"));

        // One more session is allowed, and no third; ids go on counting.
        (WireConnection second, WelcomeMessage next) = WireConnection.Attach(client, manager.SocketPath);
        using (second)
        {
            Assert.True(next.SessionId > welcome.SessionId);
            using WireConnection third = WireConnection.Open(client, manager.SocketPath);
            using var uffd = client.OpenUffd(Linux.UffdOpenFlags.None, out _);
            Assert.Equal(ErrorCode.Limit, third.Ask<ErrorMessage>(WireConnection.Hello(HelloFlags.HasUffd), uffd).Code);
        }
    }

    /// <summary>A build is told from another by the version that it reports; the text is as long in both.</summary>
    private static void CopyWithVersion(string from, string to, string version)
    {
        Directory.CreateDirectory(to);
        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            byte[] contents = File.ReadAllBytes(file);
            if (Path.GetFileName(file) == Path.GetFileName(DaemonProcess.DaemonAssembly))
                Replace(contents, Encoding.UTF8.GetBytes(OldVersion), Encoding.UTF8.GetBytes(version));
            File.WriteAllBytes(target, contents);
        }
    }

    private static void Replace(byte[] bytes, ReadOnlySpan<byte> what, ReadOnlySpan<byte> with)
    {
        Assert.Equal(what.Length, with.Length);
        int at = 0;
        int count = 0;
        for (int found; (found = bytes.AsSpan(at).IndexOf(what)) >= 0; at += found + what.Length, count++)
            with.CopyTo(bytes.AsSpan(at + found));
        Assert.True(count > 0, "the daemon does not name its version");
    }
}
