using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>Events that are no page faults: fork, remap, remove, unmap, and what the kernel refuses while they are under way.</summary>
internal static class EventRows
{
    public static IReadOnlyList<Row> All { get; } =
    [
        new("events-remove", MemoryKinds.All, Places.Both, Remove),
        new("events-remap", MemoryKinds.All, Places.Both, Remap),
        new("events-unmap", MemoryKinds.All, Places.Both, Unmap),
        new("events-fork", MemoryKinds.All, Places.OtherProcess, Fork),
        new("events-wp", MemoryKinds.Small, Places.Both, RemoveClearsProtection),
        new("fork-ufd-in-reader", MemoryKinds.Anonymous, Places.OtherProcess, ForkUfdInReader),
        new("fork-without-event", MemoryKinds.Anonymous, Places.OtherProcess, ForkWithoutEvent),
        new("remap-without-event", MemoryKinds.Anonymous, Places.Both, RemapWithoutEvent),
        new("wp-mremap", MemoryKinds.Small, Places.Both, RemapWithoutEventLosesProtection),
        new("mmap-changing", MemoryKinds.All, Places.Both, MmapChanging),
        new("fault-before-event", MemoryKinds.All, Places.Both, FaultBeforeEvent),
    ];

    private static void Remove(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.EventRemove);
        Assert.Equal(a.Done(2), a.Copy(0, 1, pages: 2));
        MemoryAdvice advice = a.Kind is MemoryKinds.SharedMemfd or MemoryKinds.Hugetlb ? MemoryAdvice.Remove : MemoryAdvice.DontNeed;
        Task<ClientReply> advised = a.Owner.Advise(a.Page(0), a.PageSize, advice);
        UffdMessage message = a.Next();
        Assert.Equal((UffdEventKind.Remove, a.Page(0), a.Page(1)), (message.Event, message.Start, message.End));
        Assert.Equal(Errno.OK, Arena.Get(advised).Errno);

        // The range stays registered and is missing again.
        Task<ClientReply> reader = a.Read(0);
        Assert.Equal(a.Page(0), a.Next().Address);
        a.AwaitSettled();
        Assert.Equal(a.Done(), a.Copy(0, 2));
        Assert.Equal(2UL, Arena.Get(reader).Value);
        Assert.Equal(1, a.ReadNow(1));
    }

    private static void Remap(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.EventRemap | UffdFeatures.EventUnmap);
        Assert.Equal(a.Done(), a.Copy(0, 1));
        Task<ClientReply> moved = a.Owner.Move(a.Start, a.Length);
        UffdMessage message = a.Next();
        ulong target = message.To;
        Assert.Equal((UffdEventKind.Remap, a.Start, a.Length), (message.Event, message.From, message.Length));
        message = a.Next();
        Assert.Equal((UffdEventKind.Unmap, a.Start, a.Start + a.Length), (message.Event, message.Start, message.End));
        Assert.Equal(target, Arena.Get(moved).Value);

        // What was there has moved along, and so has the registration.
        Assert.Equal(1UL, Arena.Get(a.Owner.Read(target)).Value);
        Task<ClientReply> reader = a.Owner.Read(target + a.PageSize);
        Assert.Equal(target + a.PageSize, a.Next().Address);
        a.AwaitSettled();
        Assert.Equal(a.Done(), Userfaultfd.Copy(a.Lease, target + a.PageSize, a.Source(2), a.PageSize, UffdCopyModes.None));
        Assert.Equal(2UL, Arena.Get(reader).Value);
        Assert.Equal(Arena.Failed(Errno.ENOENT), a.Copy(1, 1));
    }

    private static void Unmap(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.EventUnmap);
        Task<ClientReply> unmapped = a.Owner.Unmap(a.Page(1), a.PageSize);
        UffdMessage message = a.Next();
        Assert.Equal((UffdEventKind.Unmap, a.Page(1), a.Page(2)), (message.Event, message.Start, message.End));
        Assert.Equal(Errno.OK, Arena.Get(unmapped).Errno);
        a.AwaitSettled();
        Assert.Equal(Arena.Failed(Errno.ENOENT), a.Copy(1, 1));
        Assert.Equal(a.Done(), a.Copy(2, 1));
    }

    private static void Fork(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.EventFork);
        Assert.Equal(a.Done(), a.Copy(0, 1));
        PendingReply fork = a.Client.Begin("fork");
        UffdMessage message = a.Next();
        Assert.Equal(UffdEventKind.Fork, message.Event);
        using SafeUffd childUffd = SafeUffd.Adopt(message.ForkFd);
        _ = fork.AwaitValue();
        using ClientProcess child = a.Client.AcceptChild();
        using FdLease lease = childUffd.Lease();
        Assert.Equal(1, child.ReadByte(a.Page(0)));

        // The child's faults come to its own userfaultfd alone.
        PendingReply reader = child.Begin($"read {a.Page(1)}", thread: 1);
        Assert.Equal(a.Page(1), Arena.Next(lease).Address);
        a.AssertSilent();
        Assert.Equal(a.Done(), Userfaultfd.Copy(lease, a.Page(1), a.Source(2), a.PageSize, UffdCopyModes.None));
        Assert.Equal(2UL, reader.AwaitValue());

        // Private memory is the parent's no more; shared memory is one.
        UffdResult parent = a.Copy(1, 3);
        bool shared = a.Kind is MemoryKinds.SharedMemfd or MemoryKinds.Hugetlb;
        Assert.Equal(shared ? Arena.Failed(Errno.EEXIST) : a.Done(), parent);
        Assert.Equal(shared ? 2 : 3, a.ReadNow(1));
    }

    private static void RemoveClearsProtection(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect, UffdFeatures.WpHugetlbfsShmem | UffdFeatures.EventRemove);
        Assert.Equal(a.Done(), a.Copy(0, 1, UffdCopyModes.WriteProtect));
        MemoryAdvice advice = a.Kind == MemoryKinds.SharedMemfd ? MemoryAdvice.Remove : MemoryAdvice.DontNeed;
        Task<ClientReply> advised = a.Owner.Advise(a.Page(0), a.PageSize, advice);
        Assert.Equal(UffdEventKind.Remove, a.Next().Event);
        Assert.Equal(Errno.OK, Arena.Get(advised).Errno);
        Task<ClientReply> writer = a.Write(0, 2);
        UffdMessage message = a.Next();

        // Shared memory keeps a marker of the protection where the page was; private memory forgets it.
        UffdFaultFlags expected = UffdFaultFlags.Write;
        Assert.Equal(expected, message.Flags);
        a.AwaitSettled();
        Assert.Equal(a.Done(), a.Copy(0, 1));
        _ = Arena.Get(writer).Value;
        Assert.Equal(2, a.ReadNow(0));
    }

    private static void ForkUfdInReader(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.EventFork | UffdFeatures.EventRemove);
        PendingReply fork = a.Client.Begin("fork");
        UffdMessage message = a.Next();
        using SafeUffd childUffd = SafeUffd.Adopt(message.ForkFd);
        _ = fork.AwaitValue();
        using ClientProcess child = a.Client.AcceptChild();
        Assert.True(Userfaultfd.IsUserfaultfd(childUffd));
        Assert.NotEqual(0, FileIo.GetStatusFlags(childUffd) & Libc.O_NONBLOCK);
        UffdFdInfo info = UffdFdInfoReader.Read(childUffd);
        Assert.True(info.Initialised);
        Assert.Equal(UffdFeatures.EventFork | UffdFeatures.EventRemove, info.Enabled);
        Assert.Equal(Errno.EINVAL, Userfaultfd.Api(childUffd, UffdFeatures.None, out _, out _));

        // The child has no descriptor of it, and its children are reported to it in turn.
        PendingReply again = child.Begin("fork");
        using FdLease lease = childUffd.Lease();
        message = Arena.Next(lease);
        Assert.Equal(UffdEventKind.Fork, message.Event);
        using SafeUffd grandchild = SafeUffd.Adopt(message.ForkFd);
        _ = again.AwaitValue();
        using ClientProcess third = a.Client.AcceptChild();
    }

    private static void ForkWithoutEvent(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        a.Client.Run("fork");
        using ClientProcess child = a.Client.AcceptChild();

        // Silent zeroes: why the feature is not optional for a process that forks.
        Assert.Equal(0, child.ReadByte(a.Start));
        a.AssertSilent();
    }

    private static void RemapWithoutEvent(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        ulong target = Arena.Get(a.Owner.Move(a.Start, a.Length)).Value;
        Assert.Equal(0UL, Arena.Get(a.Owner.Read(target)).Value);
        a.AssertSilent();
    }

    private static void RemapWithoutEventLosesProtection(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect, UffdFeatures.WpHugetlbfsShmem);
        Assert.Equal(a.Done(), a.Copy(0, 1, UffdCopyModes.WriteProtect));
        ulong target = Arena.Get(a.Owner.Move(a.Start, a.Length)).Value;
        _ = Arena.Get(a.Owner.Write(target, 2)).Value;
        Assert.Equal(2UL, Arena.Get(a.Owner.Read(target)).Value);
        a.AssertSilent();
    }

    private static void MmapChanging(Arena a)
    {
        UffdRegisterModes modes = a.Kind == MemoryKinds.Anonymous ? UffdRegisterModes.Missing : UffdRegisterModes.Missing | UffdRegisterModes.Minor;
        a.Begin(
            modes | UffdRegisterModes.WriteProtect,
            UffdFeatures.EventRemove | UffdFeatures.Poison | UffdFeatures.Move | UffdFeatures.WpHugetlbfsShmem);
        Assert.False(Userfaultfd.IsChanging(a.Lease));
        Assert.Equal(a.Done(), a.Copy(0, 1));
        Task<ClientReply> advised = a.Owner.Advise(a.Page(0), a.PageSize, MemoryAdvice.DontNeed);
        Eventually.True(() => Userfaultfd.IsChanging(a.Lease), "the change");
        Assert.False(advised.IsCompleted);

        // Whatever page they are about.
        Assert.Equal(Arena.Failed(Errno.EAGAIN), a.Copy(2, 1));
        Assert.Equal(Arena.Failed(Errno.EAGAIN), a.Zero(2));
        Assert.Equal(Arena.Failed(Errno.EAGAIN), a.Continue(2));
        Assert.Equal(Arena.Failed(Errno.EAGAIN), a.Poison(2));
        Assert.Equal(Arena.Failed(Errno.EAGAIN), Userfaultfd.Move(a.Lease, a.Page(2), a.Page(1), a.PageSize, UffdMoveModes.None));
        Assert.Equal(Errno.EAGAIN, a.Protect(2));
        Assert.Equal(Errno.OK, a.Wake(2));
        Assert.Equal(Errno.OK, Userfaultfd.Register(a.Uffd, a.Start, a.Length, modes | UffdRegisterModes.WriteProtect, out _));

        // Read, and the thread must run before the kernel agrees again.
        Assert.Equal(UffdEventKind.Remove, a.Next().Event);
        Assert.Equal(Errno.OK, Arena.Get(advised).Errno);
        a.AwaitSettled();
        Assert.Equal(a.Done(), a.Copy(2, 1));
    }

    private static void FaultBeforeEvent(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.EventRemove);
        MemoryAdvice advice = a.Kind is MemoryKinds.SharedMemfd or MemoryKinds.Hugetlb ? MemoryAdvice.Remove : MemoryAdvice.DontNeed;
        Task<ClientReply> advised = a.Owner.Advise(a.Page(0), a.PageSize, advice);
        Eventually.True(() => Userfaultfd.IsChanging(a.Lease), "the event");
        Task<ClientReply> reader = a.Read(1);
        a.AwaitPending();

        // Younger, and yet handed out first; the fill that it asks for is refused until the event is read, too.
        UffdMessage[] messages = new UffdMessage[4];
        Assert.Equal(2, Userfaultfd.Read(a.Lease, messages, out _));
        Assert.Equal((UffdEventKind.PageFault, UffdEventKind.Remove), (messages[0].Event, messages[1].Event));
        Assert.Equal(Errno.OK, Arena.Get(advised).Errno);
        a.AwaitSettled();
        Assert.Equal(a.Done(), a.Copy(1, 1));
        Assert.Equal(1UL, Arena.Get(reader).Value);
    }
}
