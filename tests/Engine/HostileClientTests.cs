using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests;

/// <summary>Clients that break the rules, by malice or by mistake: they harm themselves alone.</summary>
public sealed class HostileClientTests : EngineTest
{
    private const ulong PageFaultEvent = 0x12;

    [Fact]
    public void Descriptor_made_blocking_is_repaired_and_served()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(MiB);
        for (ulong i = 0; i < 8; i++)
        {
            it.Client.Run($"nonblock {it.UffdNumber} 0");
            it.AssertZero(at + (i * 16 * Page), 16 * Page);
        }

    }

    [Fact]
    public void Client_that_makes_its_descriptor_blocking_without_end_is_killed()
    {
        Options = Options with { LivenessSweep = TimeSpan.FromHours(1), FaultLoops = 1 };
        ServedClient bystander = Serve(Bob, Zero);
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(64 * MiB);
        Eventually.True(
            () =>
            {
                // Clearing it wakes nobody; the next fault does, and is reported as an error only.
                _ = it.Client.Begin($"nonblock {it.UffdNumber} 0");
                PendingReply read = it.Client.Begin($"read {at}");
                at += Page;
                Eventually.True(() => read.IsCompleted, "the answer or the loss");
                return it.Client.HasExited;
            },
            "the end of the client");
        Assert.Equal(it.Session, WaitForEvent<ClientMisbehaved>().Session);
        Assert.Equal(SessionEndReason.ClientKilled, WaitForEvent<SessionEnded>(e => e.Session == it.Session).Reason);
        bystander.AssertZero(bystander.MapRegistered(MiB), MiB);
    }

    [Fact]
    public void Client_that_reads_its_own_messages_hangs_itself_alone_and_can_be_woken()
    {
        ServedClient bystander = Serve(Bob, Zero);
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(4 * MiB);
        PendingReply victim = it.Client.Begin($"touch {at} {4 * MiB}", 1);
        int stolen = 0;
        Eventually.True(
            () =>
            {
                ClientReply reply = it.Client.Try($"steal {it.UffdNumber}", 2);
                stolen += reply.Succeeded && reply.Values[0] == PageFaultEvent ? 1 : 0;
                return stolen >= 1 || victim.IsCompleted;
            },
            "a stolen message");
        bystander.AssertZero(bystander.MapRegistered(MiB), MiB);
        Eventually.True(
            () =>
            {
                _ = Engine.WakeAsync(it.Session, at, 4 * MiB).Finish();
                return victim.IsCompleted;
            },
            "the victim to go on");
        victim.AwaitValue();
    }

    [Fact]
    public void Range_that_the_client_registered_behind_our_back_is_filled_by_nobody()
    {
        Options = Options with { LivenessSweep = TimeSpan.FromSeconds(1) };
        ServedClient bystander = Serve(Bob, Zero);
        ServedClient it = Serve(policy: Zero);
        it.MapRegistered(MiB);
        (ulong at, _) = it.Client.Map("memfd-shared", MiB);
        it.Client.Run($"register {it.UffdNumber} {at} {MiB} 1");
        PendingReply read = it.Client.Begin($"read {at}", 1);
        it.Client.WaitForExit();
        Eventually.True(() => read.IsLost, "the loss");
        Assert.Equal(it.Session, WaitForEvent<ClientKilled>().Session);
        bystander.AssertZero(bystander.MapRegistered(MiB), MiB);
    }

    [Fact]
    public void Descriptor_that_is_no_userfaultfd_is_refused_and_closed()
    {
        ClientProcess client = StartClient();
        SafeUffd memfd = SafeUffd.Adopt(Memfd.Create("fake", MemfdFlags.None).Disown());
        AttachResult refused = Attach(client, memfd);
        Assert.Equal((EngineErrorKind.Invalid, Errno.EINVAL), (refused.Error!.Kind, refused.Error.Errno));
        Assert.True(memfd.IsClosed);
        SafeUffd socket = SafeUffd.Adopt(EventFd.Create().Disown());
        Assert.NotNull(Attach(client, socket, apiDone: true).Error);
    }

    [Fact]
    public void Client_that_is_wrong_about_the_handshake_of_its_descriptor_is_told()
    {
        ClientProcess client = StartClient();
        Assert.Equal(Errno.EINVAL, Attach(client, client.OpenUffd(), apiDone: true).Error!.Errno);
        SafeUffd done = client.OpenUffd(UffdOpenFlags.None, out int number);
        client.Run($"api {number} 0");
        EngineError refused = Attach(client, done).Error!;
        Assert.Equal(Errno.EINVAL, refused.Errno);
        Assert.Contains("API_DONE", refused.Text, StringComparison.Ordinal);
        SafeUffd known = client.OpenUffd(UffdOpenFlags.None, out number);
        client.Run($"api {number} {(ulong)UffdFeatures.EventRemove}");
        AttachResult accepted = Attach(client, known, policy: Zero, apiDone: true);
        Assert.Equal(UffdFeatures.EventRemove, accepted.Session!.Features);
        ServedClient it = new(Engine, client, accepted.Session, number);
        it.AssertZero(it.MapRegistered(MiB), MiB);
    }

    [Fact]
    public void Thread_that_faults_without_end_under_a_signal_storm_costs_one_fetch()
    {
        Options = Options with { FaultLoops = 1 };
        ScriptedSource source = Scripted(Page);
        source.Hold();
        ServedClient bystander = Serve(Bob, Zero);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Page, source);
        PendingReply storm = it.Client.Begin($"storm {at} {Page} 50", 1);
        Eventually.True(() => CountersOf(Alice).Faults(FaultKind.Missing, FaultOutcome.Duplicate) > 500, "the storm");
        bystander.AssertZero(bystander.MapRegistered(MiB), MiB);
        source.WaitForFetches(1);
        Assert.Equal((1, 1), (source.Entered, it.Status().PagesInFlight));
        Assert.Equal(0, it.Status().Deferrals);
        Assert.False(storm.IsCompleted);
        source.Release();
        Assert.Equal(Page, storm.AwaitValue());
        it.AssertZero(at, Page);
    }

    [Fact]
    public void Fork_waits_while_the_manager_has_no_descriptors_and_goes_on_when_it_has()
    {
        Options = Options with { FaultLoops = 1 };
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(MiB);
        it.Client.Run($"touch {at} {16 * Page}");
        (ulong soft, ulong hard) = Rlimits.GetNoFile();
        PendingReply fork;
        long wakeups = Engine.Loops()[0].Wakeups;
        List<SafeEventFd> hoard = [];
        try
        {
            // Everything below the limit is in use, so the event cannot be read.
            Rlimits.SetNoFile(256, hard);
            Assert.Throws<SyscallException>((Action)(() => TakeAll(hoard)));
            fork = it.Client.Begin("forkquiet", 1);
            Eventually.True(() => Engine.Loops()[0].Wakeups >= wakeups + 2, "attempts to read the event");
            long before = Engine.Loops()[0].Wakeups;
            long began = MonotonicClock.NowNanoseconds;
            Eventually.Never(() => fork.IsCompleted, TimeSpan.FromMilliseconds(200), "the fork");

            // Every 10 ms, and some for what else there is.
            Assert.InRange(Engine.Loops()[0].Wakeups - before, 0, 20 + ((MonotonicClock.NowNanoseconds - began) / 5_000_000));
        }
        finally
        {
            Rlimits.SetNoFile(soft, hard);
            hoard.ForEach(fd => fd.Dispose());
        }

        int pid = (int)fork.AwaitValue();
        WaitForEvent<ForkAdopted>();
        it.Client.Run($"touch {at} {MiB}");
        using SafePidFd child = PidFd.TryOpen(pid, out _)!;
        Assert.Equal(Errno.OK, PidFd.SendSignal(child, Signals.Kill));
        it.Client.Run($"waitpid {pid}");
    }

    private static void TakeAll(List<SafeEventFd> hoard)
    {
        while (true)
            hoard.Add(EventFd.Create());
    }

    [Fact]
    public void Nonsense_in_commands_is_an_error_and_nothing_else()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(4 * Page);
        ulong[] odd = [0, 1, Page, at + 1, at + (2 * Page), 1UL << 47, 1UL << 63, ulong.MaxValue - Page + 1, ulong.MaxValue];
        foreach (ulong start in odd)
        {
            foreach (ulong length in odd)
            {
                if (start >= at && start < at + (4 * Page) && length <= 4 * Page)
                    continue;
                Assert.NotNull(it.TryRegister(start, length).Error);
                _ = Engine.PrefetchAsync(it.Session, start, Math.Min(length, MiB)).Finish();
                _ = Engine.WakeAsync(it.Session, start, length).Finish();
                _ = Engine.WriteProtectAsync(it.Session, start, length, protect: true).Finish();
                _ = Engine.UnregisterAsync(it.Session, start, length).Finish();
            }
        }

        Assert.NotNull(it.TryRegister(at, 4 * Page, modes: UffdRegisterModes.None).Error);
        Assert.NotNull(it.TryRegister(at, 4 * Page, modes: (UffdRegisterModes)64).Error);
        Assert.NotNull(it.TryRegister(at, 4 * Page, offset: 1).Error);
        Assert.NotNull(it.TryRegister(at, 4 * Page, offset: -4096).Error);
        Assert.NotNull(it.TryRegister(at, 4 * Page, offset: long.MaxValue - 4095).Error);
        Assert.NotNull(it.TryRegister(at, 4 * Page, policy: Named, flags: Regions.RegionFlags.WriteProtected).Error);
        it.AssertZero(it.MapRegistered(MiB), MiB);
    }
}
