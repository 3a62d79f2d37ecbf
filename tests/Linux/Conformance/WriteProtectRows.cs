using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>UFFDIO_WRITEPROTECT.</summary>
internal static class WriteProtectRows
{
    private const UffdRegisterModes MissingAndProtect = UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect;
    private const UffdFaultFlags ProtectFault = UffdFaultFlags.Write | UffdFaultFlags.WriteProtect;

    public static IReadOnlyList<Row> All { get; } =
    [
        new("wp", MemoryKinds.All, Places.Both, WriteProtect),
        new("wp-refusals", MemoryKinds.All, Places.Both, Refusals),
        new("wp-unpopulated", MemoryKinds.Anonymous, Places.Both, Unpopulated),
        new("wp-unpopulated-without-feature", MemoryKinds.Anonymous, Places.Both, UnpopulatedWithoutFeature),
        new("wp-write-fault-copied-protected-faults-twice", MemoryKinds.All, Places.Both, FaultsTwice),
        new("sigbus-wp", MemoryKinds.All, Places.Both, SigbusProtect),
        new("wp-fork", MemoryKinds.Small, Places.OtherProcess, ForkWithoutEvent),
        new("wp-fork-with-event", MemoryKinds.Small, Places.OtherProcess, ForkWithEvent),
    ];

    private static void WriteProtect(Arena a)
    {
        a.Begin(MissingAndProtect, UffdFeatures.WpHugetlbfsShmem);
        Assert.Equal(a.Done(), a.Copy(0, 1, UffdCopyModes.WriteProtect));
        Assert.Equal(1, a.ReadNow(0));
        Task<ClientReply> writer = a.Write(0, 2);
        UffdMessage message = a.Next();
        Assert.Equal((UffdEventKind.PageFault, ProtectFault, a.Page(0)), (message.Event, message.Flags, message.Address));
        Assert.Equal(1, a.ReadNow(0));
        Assert.Equal(Errno.OK, a.Protect(0, protect: false));
        _ = Arena.Get(writer).Value;
        Assert.Equal(2, a.ReadNow(0));

        // Again, on a page that was filled without protection.
        Assert.Equal(a.Done(), a.Copy(1, 3));
        Assert.Equal(Errno.OK, a.Protect(1));
        writer = a.Write(1, 4);
        Assert.Equal(ProtectFault, a.Next().Flags);
        Assert.Equal(Errno.OK, Userfaultfd.WriteProtect(a.Lease, a.Page(1), a.PageSize, protect: false, dontWake: true));
        Assert.False(writer.IsCompleted);
        Assert.Equal(Errno.OK, a.Wake(1));
        _ = Arena.Get(writer).Value;
        Assert.Equal(4, a.ReadNow(1));
    }

    private static void Refusals(Arena a)
    {
        a.Begin(MissingAndProtect, UffdFeatures.WpHugetlbfsShmem);
        Assert.Equal(Errno.EINVAL, Userfaultfd.WriteProtect(a.Lease, a.Start, a.PageSize, protect: true, dontWake: true));
        Assert.Equal(Errno.EINVAL, Userfaultfd.WriteProtect(a.Lease, a.Start + 1, a.PageSize, protect: true));
        if (a.Kind == MemoryKinds.Hugetlb)
            Assert.Equal(Errno.EINVAL, Userfaultfd.WriteProtect(a.Lease, a.Start, 4096, protect: true));
        Assert.Equal(Errno.OK, Userfaultfd.Unregister(a.Uffd, a.Start, a.Length));
        Assert.Equal(Errno.ENOENT, a.Protect(0));
        Assert.Equal(Errno.OK, Userfaultfd.Register(a.Uffd, a.Start, a.Length, UffdRegisterModes.Missing, out _));
        Assert.Equal(Errno.ENOENT, a.Protect(0));
    }

    private static void Unpopulated(Arena a)
    {
        a.Begin(UffdRegisterModes.WriteProtect, UffdFeatures.WpUnpopulated);
        Assert.Equal(Errno.OK, a.Protect(0));
        Task<ClientReply> writer = a.Write(0, 1);
        Assert.Equal(ProtectFault, a.Next().Flags);
        Assert.Equal(Errno.OK, a.Protect(0, protect: false));
        _ = Arena.Get(writer).Value;
    }

    private static void UnpopulatedWithoutFeature(Arena a)
    {
        // OK, and nothing is protected: the trap that makes the feature necessary.
        a.Begin(UffdRegisterModes.WriteProtect);
        Assert.Equal(Errno.OK, a.Protect(0));
        a.WriteNow(0, 1);
        a.AssertSilent();
    }

    private static void FaultsTwice(Arena a)
    {
        a.Begin(MissingAndProtect, UffdFeatures.WpHugetlbfsShmem);
        Task<ClientReply> writer = a.Write(0, 2);
        Assert.Equal(UffdFaultFlags.Write, a.Next().Flags);
        Assert.Equal(a.Done(), a.Copy(0, 1, UffdCopyModes.WriteProtect));
        Assert.Equal(ProtectFault, a.Next().Flags);
        Assert.Equal(Errno.OK, a.Protect(0, protect: false));
        _ = Arena.Get(writer).Value;
        Assert.Equal(2, a.ReadNow(0));
    }

    private static void SigbusProtect(Arena a)
    {
        a.Begin(MissingAndProtect, UffdFeatures.WpHugetlbfsShmem | UffdFeatures.Sigbus);
        Assert.Equal(a.Done(), a.Copy(0, 1, UffdCopyModes.WriteProtect));
        Assert.Equal(1, a.ReadNow(0));
        a.AssertKills(Arena.Get(a.Write(0, 2)));
        a.AssertSilent();
        Assert.Equal(Errno.OK, a.Protect(0, protect: false));
        a.WriteNow(0, 2);
    }

    private static void ForkWithoutEvent(Arena a)
    {
        a.Begin(MissingAndProtect, UffdFeatures.WpHugetlbfsShmem);
        Assert.Equal(a.Done(), a.Copy(0, 1, UffdCopyModes.WriteProtect));
        a.Client.Run("fork");
        using ClientProcess child = a.Client.AcceptChild();

        // The child is not registered: it writes and reads as if there were no manager.
        child.WriteByte(a.Page(0), 2);
        Assert.Equal(a.Kind == MemoryKinds.SharedMemfd ? 2 : 1, a.ReadNow(0));
        Assert.Equal(0, child.ReadByte(a.Page(1)));
        a.AssertSilent();
    }

    private static void ForkWithEvent(Arena a)
    {
        a.Begin(MissingAndProtect, UffdFeatures.WpHugetlbfsShmem | UffdFeatures.EventFork);
        Assert.Equal(a.Done(), a.Copy(0, 1, UffdCopyModes.WriteProtect));
        PendingReply fork = a.Client.Begin("fork");
        UffdMessage message = a.Next();
        Assert.Equal(UffdEventKind.Fork, message.Event);
        using SafeUffd childUffd = SafeUffd.Adopt(message.ForkFd);
        _ = fork.AwaitValue();
        using ClientProcess child = a.Client.AcceptChild();
        using FdLease lease = childUffd.Lease();
        PendingReply writer = child.Begin($"write {a.Page(0)} 2", thread: 1);
        message = Arena.Next(lease);
        Assert.Equal((ProtectFault, a.Page(0)), (message.Flags, message.Address));
        Assert.Equal(Errno.OK, Userfaultfd.WriteProtect(lease, a.Page(0), a.PageSize, protect: false));
        _ = writer.AwaitValue();
        Assert.Equal(2, child.ReadByte(a.Page(0)));
        a.AssertSilent();
    }
}
