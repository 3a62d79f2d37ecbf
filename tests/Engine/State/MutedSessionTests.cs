using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>Sessions that cannot be read for now are looked at again soon; all others only as often as ever.</summary>
public sealed class MutedSessionTests : RestoreTest
{
    // Two sweeps that find a living process without its memory end the session: these must be the sweeps of two seconds, not two looks at somebody else.
    [Fact]
    public void Others_are_not_swept_while_a_session_waits_to_be_read()
    {
        // No sweep comes by itself, and nothing but the store ends the wait of the fork.
        Options = Options with { FaultLoops = 1, LivenessSweep = TimeSpan.FromHours(1), ForkPatience = TimeSpan.FromDays(1) };
        ServedClient forks = Serve(policy: Zero);
        ulong at = forks.MapRegistered(MiB);
        ServedClient execs = Serve(Bob, Zero);
        execs.MapRegistered(MiB);
        Store.IsBehind = true;
        PendingReply fork = forks.Client.Begin("fork", 1);
        Await(forks, Userfaultfd.IsChanging, "the fork to be under way");
        _ = execs.Client.Begin("exec");
        Track(execs.Client.AcceptChild());
        Await(execs, Userfaultfd.IsOwnerGone, "the memory to be gone");
        int asked = Store.TimesAsked;
        Eventually.True(() => Store.TimesAsked >= asked + 10, "looks at the session that forks");
        Assert.Equal(SessionState.Serving, execs.Session.State);
        Assert.False(execs.Session.IsAddressSpaceGone);

        // And it is read as soon as it can be. The child says who it is, so that its end is seen without a sweep.
        Store.IsBehind = false;
        fork.Await();
        Assert.Equal(0, Track(forks.Client.AcceptChild()).ReadByte(at));
        Assert.False(forks.Session.IsMuted);
    }

    private static void Await(ServedClient it, Func<FdLease, bool> what, string words)
    {
        using FdLease uffd = it.Session.Uffd.Lease();
        FdLease lease = uffd;
        Eventually.True(() => what(lease), words);
    }
}
