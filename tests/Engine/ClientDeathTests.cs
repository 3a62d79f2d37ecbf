using UffdManager.Engine.Policies;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests;

/// <summary>
/// Clients that are gone. What the base class checks at the end of each test is the point here: every descriptor closed, every counter
/// back at 0.
/// </summary>
public sealed class ClientDeathTests : EngineTest
{
    [Fact]
    public void Exit_is_seen_without_waiting_for_the_sweep()
    {
        Options = Options with { LivenessSweep = TimeSpan.FromHours(1) };
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(MiB);
        it.Client.Run($"touch {at} {MiB}");
        it.Client.Kill();
        SessionEnded ended = WaitForEvent<SessionEnded>();
        Assert.Equal((SessionEndReason.ClientExited, 256L), (ended.Reason, ended.Faults));
        Assert.Equal(SessionState.Ended, it.Session.State);
    }

    [Fact]
    public void Client_killed_while_its_pages_are_fetched_leaves_nothing()
    {
        ScriptedSource source = Scripted(16 * Page);
        source.Hold();
        ServedClient it = Serve();
        ulong at = it.MapRegistered(16 * Page, source);
        PendingReply[] reads = [.. Enumerable.Range(0, 8).Select(t => it.Client.Begin($"read {at + ((ulong)t * Page)}", t))];
        source.WaitForFetches(4);
        it.Client.Kill();
        WaitForEvent<SessionEnded>();
        Assert.True(Alice.Usage.PagesInFlight > 0);
        source.Release();
        Eventually.True(() => Alice.Usage is { PagesInFlight: 0, Fetches: 0 }, "the fetches to come back");
        Assert.All(reads, read => Eventually.True(() => read.IsLost, "the loss"));
    }

    [Fact]
    public void Client_killed_while_its_faults_are_deferred_leaves_nothing()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { FetchQueueDepth = 1 });
        ScriptedSource source = Scripted(16 * Page);
        source.Hold();
        ServedClient it = Serve();
        ulong at = it.MapRegistered(16 * Page, source);
        for (int t = 0; t < 8; t++)
            _ = it.Client.Begin($"read {at + ((ulong)t * Page)}", t);
        Eventually.True(() => it.Status().Deferrals >= 7, "seven faults to be deferred");
        it.Client.Kill();
        WaitForEvent<SessionEnded>();
    }

    [Fact]
    public void Client_killed_in_the_midst_of_a_fault_storm_leaves_nothing()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(256 * MiB);
        PendingReply[] storms = [.. Enumerable.Range(0, 8).Select(t => it.Client.Begin($"shuffle {at} {256 * MiB} 1000000 {t + 1}", t))];
        Eventually.True(() => it.Status().Faults > 1000, "the storm");
        it.Client.Kill();
        WaitForEvent<SessionEnded>();
        Assert.All(storms, storm => Eventually.True(() => storm.IsLost, "the loss"));
    }

    [Fact]
    public void Client_killed_during_a_prefetch_ends_the_prefetch()
    {
        ScriptedSource source = Scripted(16 * MiB);
        source.Hold();
        ServedClient it = Serve();
        ulong at = it.MapRegistered(16 * MiB, source);
        Task<EngineResult> prefetch = Engine.PrefetchAsync(it.Session, at, 16 * MiB);
        source.WaitForFetches(2);
        it.Client.Kill();
        Assert.Equal(Errno.ESRCH, prefetch.Finish().Error!.Errno);
    }

    [Fact]
    public void Address_space_left_by_exec_is_noticed_by_the_sweep()
    {
        ServedClient it = Serve(policy: Zero);
        it.MapRegistered(MiB);
        _ = it.Client.Begin("exec");
        ClientProcess after = Track(it.Client.AcceptChild());
        Assert.Equal(it.Client.Pid, after.Pid);
        Assert.Equal(SessionEndReason.AddressSpaceGone, WaitForEvent<SessionEnded>(e => e.Session == it.Session).Reason);
        Assert.False(after.HasExited);

        // The new program is welcome.
        ServedClient again = Serve(after, policy: Zero);
        again.AssertZero(again.MapRegistered(MiB), MiB);
    }

    [Fact]
    public void Process_already_gone_at_the_attach_is_no_lasting_session()
    {
        ClientProcess client = StartClient();
        SafeUffd uffd = client.OpenUffd();
        ulong started = StartTimeOf(client.Pid);
        client.Kill();
        AttachResult result = Engine.AttachAsync(new AttachRequest
        {
            Uffd = uffd,
            Pid = client.Pid,
            ProcessStartTime = started,
            PidFd = client.Handle.Duplicate<SafePidFd>(),
            Tenant = Alice,
            DefaultPolicy = Zero,
        }).Finish();
        Assert.True(uffd.IsClosed || result.Session is not null);
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of the session");
    }

    [Fact]
    public void Many_clients_come_and_go()
    {
        FileSource file = RandomFile((long)MiB, 7, out byte[] contents);
        Parallel.For(0, 4, _ =>
        {
            for (int i = 0; i < 6; i++)
            {
                using ClientProcess client = ClientProcess.Start();
                ServedClient it = Serve(client);
                ulong at = it.MapRegistered(64 * Page, file);
                Assert.Equal(ClientProcess.Hash(contents.AsSpan(0, 64 * (int)Page)), client.HashRange(at, 64 * Page));
            }
        });
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of all sessions");
    }
}
