using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>The ends of things: exit, exec, the last close, and a client that plays with the shared open file.</summary>
internal static class LifeRows
{
    public static IReadOnlyList<Row> All { get; } =
    [
        new("exit-ESRCH", MemoryKinds.All, Places.OtherProcess, Exit),
        new("exec-ESRCH", MemoryKinds.Anonymous, Places.OtherProcess, Exec),
        new("exit-while-asleep", MemoryKinds.All, Places.OtherProcess, ExitWhileAsleep),
        new("exit-while-changing", MemoryKinds.Anonymous, Places.OtherProcess, ExitWhileChanging),
        new("owner-alive", MemoryKinds.All, Places.Both, OwnerAlive),
        new("close-with-pending", MemoryKinds.All, Places.OtherProcess, CloseWithPending),
        new("nonblock-toggle", MemoryKinds.Anonymous, Places.OtherProcess, NonBlockToggle),
        new("stolen-message", MemoryKinds.Anonymous, Places.OtherProcess, StolenMessage),
        new("remote-memcg-charge", MemoryKinds.Anonymous, Places.OtherProcess, MemcgCharge),
        new("remote-memcg-oom", MemoryKinds.Anonymous, Places.OtherProcess, MemcgOom),
        new("many-faults-in-one-read", MemoryKinds.Anonymous, Places.OtherProcess, ManyFaults),
    ];

    private static void Exit(Arena a)
    {
        if (a.Memfd is not null)
            a.WriteCache(1, 1);
        UffdRegisterModes modes = UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect;
        a.Begin(modes, UffdFeatures.WpHugetlbfsShmem | UffdFeatures.Poison);
        a.Client.Kill();
        AssertGone(a, modes);
    }

    private static void Exec(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);
        PendingReply exec = a.Client.Begin("exec");
        using ClientProcess reborn = a.Client.AcceptChild();
        Assert.Equal(a.Client.Pid, reborn.Pid);
        Assert.False(reborn.HasExited);
        AssertGone(a, UffdRegisterModes.Missing);
        Eventually.True(() => exec.IsLost, "the old connection's end");
    }

    private static void AssertGone(Arena a, UffdRegisterModes modes)
    {
        // The memory outlives the process for a moment: its last user may be the kernel.
        Eventually.True(() => Userfaultfd.IsOwnerGone(a.Lease), "the end of the address space");
        Assert.Equal(Arena.Failed(Errno.ESRCH), a.Copy(0, 1));
        if (a.Kind != MemoryKinds.Hugetlb)
            Assert.Equal(Arena.Failed(Errno.ESRCH), a.Zero(0));
        Assert.Equal(Arena.Failed(Errno.ESRCH), a.Continue(1));
        Assert.Equal(Arena.Failed(Errno.ESRCH), a.Poison(0));
        Assert.Equal(Errno.ESRCH, a.Protect(0));
        Assert.Equal(Errno.OK, a.Wake(0));
        Assert.Equal(Errno.ENOMEM, Userfaultfd.Register(a.Uffd, a.Start, a.Length, modes, out _));
        Assert.Equal(Errno.ENOMEM, Userfaultfd.Unregister(a.Uffd, a.Start, a.Length));

        // Nothing tells of the death: not the descriptor, not poll.
        a.AssertSilent();
        Assert.False(FdPoll.WaitReadable(a.Lease, TimeSpan.Zero));
    }

    private static void ExitWhileAsleep(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Task<ClientReply> sleeper = a.Read(0);
        a.AwaitPending();
        a.Client.Kill();
        Eventually.True(() => sleeper.IsCompleted, "the sleeper's end");
        Assert.True(sleeper.IsFaulted);
        Eventually.True(() => Userfaultfd.IsOwnerGone(a.Lease), "the end of the address space");
        Assert.Equal(0, UffdFdInfoReader.Read(a.Uffd).Total);
        a.AssertSilent();
    }

    private static void ExitWhileChanging(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.EventRemove);
        _ = a.Owner.Advise(a.Start, a.PageSize, MemoryAdvice.DontNeed);
        Eventually.True(() => Userfaultfd.IsChanging(a.Lease), "the event");
        a.Client.Kill();
        Eventually.True(() => Userfaultfd.IsOwnerGone(a.Lease), "the end of the address space");
        Assert.False(Userfaultfd.IsChanging(a.Lease));
        a.AssertSilent();
    }

    private static void OwnerAlive(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Assert.False(Userfaultfd.IsOwnerGone(a.Lease));
        Assert.Equal(a.Done(), a.Copy(0, 1));
        Assert.False(Userfaultfd.IsOwnerGone(a.Lease));
    }

    private static void CloseWithPending(Arena a)
    {
        int number = (int)a.Client.Run("uffd");
        Task<ClientReply> sleeper;
        using (SafeUffd uffd = a.Client.Take<SafeUffd>(number))
        {
            Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.None, out _, out _));
            Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, a.Start, a.Length, UffdRegisterModes.Missing, out _));
            sleeper = a.Read(0);
            Eventually.True(() => UffdFdInfoReader.Read(uffd).Pending == 1, "the fault");
        }

        // Ours is closed, the client's keeps the thread asleep: failing closed.
        Eventually.Never(() => sleeper.IsCompleted, TimeSpan.FromMilliseconds(50), "waking");

        // The last one: silent zeroes.
        a.Client.Run($"close {number}");
        Assert.Equal(0UL, Arena.Get(sleeper).Value);
    }

    private static void NonBlockToggle(Arena a)
    {
        int number = (int)a.Client.Run("uffd");
        using SafeUffd uffd = a.Client.Take<SafeUffd>(number);
        using FdLease lease = uffd.Lease();
        Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.None, out _, out _));
        Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, a.Start, a.Length, UffdRegisterModes.Missing, out _));
        Assert.False(FdPoll.WaitReadable(lease, TimeSpan.Zero));
        a.Client.Run($"nonblock {number} 0");

        // Poll reports an error for ever, and a plain read would sleep; ours does not.
        Assert.True(FdPoll.WaitReadable(lease, TimeSpan.Zero));
        Assert.Equal(0, Userfaultfd.Read(lease, new UffdMessage[1], out Errno errno));
        Assert.Equal(Errno.EAGAIN, errno);
        Task<ClientReply> reader = a.Read(0);
        Assert.Equal(a.Start, Arena.Next(lease).Address);
        FileIo.SetNonBlocking(uffd);
        Assert.False(FdPoll.WaitReadable(lease, TimeSpan.Zero));
        Assert.Equal(Errno.OK, Userfaultfd.ZeroPage(lease, a.Start, a.PageSize).Errno);
        _ = Arena.Get(reader).Value;
    }

    private static void StolenMessage(Arena a)
    {
        int number = (int)a.Client.Run("uffd");
        using SafeUffd uffd = a.Client.Take<SafeUffd>(number);
        using FdLease lease = uffd.Lease();
        Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.None, out _, out _));
        Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, a.Start, a.Length, UffdRegisterModes.Missing, out _));
        Task<ClientReply> reader = a.Read(0);
        Eventually.True(() => UffdFdInfoReader.Read(uffd).Pending == 1, "the fault");
        Assert.Equal((ulong)UffdEventKind.PageFault, a.Client.Run($"steal {number}"));

        // Readable a moment ago, and nothing there now: normal. A wake brings the fault back.
        Assert.Equal(0, Userfaultfd.Read(lease, new UffdMessage[1], out Errno errno));
        Assert.Equal(Errno.EAGAIN, errno);
        Assert.Equal(Errno.OK, Userfaultfd.Wake(lease, a.Start, a.Length));
        Assert.Equal(a.Start, Arena.Next(lease).Address);
        Assert.Equal(Errno.OK, Userfaultfd.ZeroPage(lease, a.Start, a.PageSize).Errno);
        _ = Arena.Get(reader).Value;
    }

    private static void ManyFaults(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Task<ClientReply>[] readers = [.. Enumerable.Range(0, 40).Select(i => a.Owner.Read(a.Page(i % a.Pages)))];
        a.AwaitPending(readers.Length);
        UffdMessage[] messages = new UffdMessage[64];
        Assert.Equal(readers.Length, Userfaultfd.Read(a.Lease, messages, out _));

        // One copy wakes everybody who waits for the page.
        Assert.Equal(a.Done(a.Pages), a.Copy(0, 5, pages: a.Pages));
        Assert.All(readers, r => Assert.Equal(5UL, Arena.Get(r).Value));
    }

    private static void MemcgCharge(Arena a)
    {
        const ulong Size = 16 << 20;
        using MemoryCgroup group = MemoryCgroup.Create(64 << 20);
        a.Begin(UffdRegisterModes.None);
        group.Add(a.Client.Pid);
        ulong start = a.Client.Run($"map anon {Size}");
        long before = group.Usage;
        Assert.Equal(Size, CopyAll(a, start, Size, out Errno errno));
        Assert.Equal(Errno.OK, errno);

        // Whose memory it is pays, not who fills it.
        Assert.InRange(group.Usage - before, (long)Size * 9 / 10, (long)Size * 12 / 10);
        a.Client.Kill();
    }

    private static void MemcgOom(Arena a)
    {
        const ulong Size = 64 << 20;
        using MemoryCgroup group = MemoryCgroup.Create(16 << 20);
        a.Begin(UffdRegisterModes.None);
        group.Add(a.Client.Pid);
        ulong start = a.Client.Run($"map anon {Size}");
        ulong done = CopyAll(a, start, Size, out Errno errno);

        // The client dies of its own limit; we hear of a part done, then of a process gone.
        Assert.InRange(done, 1UL << 20, 16UL << 20);
        Assert.True(errno is Errno.ESRCH or Errno.ENOMEM, errno.Describe());
        a.Client.WaitForExit();
        Eventually.True(() => Userfaultfd.IsOwnerGone(a.Lease), "the end of the address space");
    }

    private static ulong CopyAll(Arena a, ulong start, ulong size, out Errno errno)
    {
        const ulong Piece = 1 << 20;
        nuint source = NativePages.Map(Piece);
        Assert.Equal(Errno.OK, Userfaultfd.Register(a.Uffd, start, size, UffdRegisterModes.Missing, out _));
        ulong done = 0;
        errno = Errno.OK;
        while (done < size && errno is Errno.OK or Errno.EAGAIN)
        {
            UffdResult result = Userfaultfd.Copy(a.Lease, start + done, source, Math.Min(Piece, size - done), UffdCopyModes.None);
            errno = result.Errno;
            done += (ulong)result.Progress;
        }

        NativePages.Unmap(source, Piece);
        return done;
    }
}
