using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>UFFDIO_CONTINUE and memory that has a page cache.</summary>
internal static class MinorRows
{
    public static IReadOnlyList<Row> All { get; } =
    [
        new("minor", MemoryKinds.Cached, Places.Both, Minor),
        new("minor-wp", MemoryKinds.Cached, Places.Both, MinorWriteProtect),
        new("continue-refusals", MemoryKinds.All, Places.Both, ContinueRefusals),
        new("continue-private-cow", MemoryKinds.PrivateMemfd, Places.Both, PrivateCopyOnWrite),
        new("copy-over-page-cache", MemoryKinds.Cached, Places.Both, CopyOverCache),
        new("missing-then-filled-becomes-minor", MemoryKinds.SharedMemfd, Places.Both, BecomesMinor),
        new("punch-evict", MemoryKinds.SharedMemfd, Places.Both, PunchEvict),
    ];

    private static void Minor(Arena a)
    {
        a.WriteCache(0, 21);
        a.Begin(UffdRegisterModes.Minor);
        Task<ClientReply> reader = a.Read(0);
        UffdMessage message = a.Next();
        Assert.Equal((UffdEventKind.PageFault, UffdFaultFlags.Minor, a.Page(0)), (message.Event, message.Flags, message.Address));
        Assert.Equal(a.Done(), a.Continue(0));
        Assert.Equal(21UL, Arena.Get(reader).Value);
        Assert.Equal(Arena.Failed(Errno.EEXIST), a.Continue(0));
    }

    private static void MinorWriteProtect(Arena a)
    {
        a.WriteCache(0, 21);
        a.Begin(UffdRegisterModes.Minor | UffdRegisterModes.WriteProtect, UffdFeatures.WpHugetlbfsShmem);
        Assert.Equal(a.Done(), a.Continue(0, UffdCopyModes.WriteProtect));
        Assert.Equal(21, a.ReadNow(0));
        Task<ClientReply> writer = a.Write(0, 22);
        UffdMessage message = a.Next();
        Assert.Equal(UffdFaultFlags.Write | UffdFaultFlags.WriteProtect, message.Flags);
        Assert.Equal(Errno.OK, a.Protect(0, protect: false));
        _ = Arena.Get(writer).Value;
        Assert.Equal(22, a.ReadNow(0));
    }

    private static void ContinueRefusals(Arena a)
    {
        if (a.Kind == MemoryKinds.Anonymous)
        {
            // Registered for something, but there is no page cache to map from.
            a.Begin(UffdRegisterModes.Missing);
            Assert.Equal(Arena.Failed(Errno.EINVAL), a.Continue(0));
            return;
        }

        a.Begin(UffdRegisterModes.Minor);
        Assert.Equal(Arena.Failed(Errno.EFAULT), a.Continue(0));
        Assert.Equal(Errno.EINVAL, Userfaultfd.Continue(a.Lease, a.Start + 1, a.PageSize, UffdCopyModes.None).Errno);
        Assert.Equal(Errno.EINVAL, Userfaultfd.Continue(a.Lease, a.Start, 0, UffdCopyModes.None).Errno);
        a.WriteCache(1, 1);
        Assert.Equal(Errno.OK, Userfaultfd.Unregister(a.Uffd, a.Page(1), a.PageSize));
        Assert.Equal(Arena.Failed(Errno.ENOENT), a.Continue(1));
    }

    private static void PrivateCopyOnWrite(Arena a)
    {
        a.WriteCache(0, 1);
        a.WriteCache(1, 1);
        a.Begin(UffdRegisterModes.Missing | UffdRegisterModes.Minor);
        Assert.Equal(a.Done(), a.Continue(0));
        Assert.Equal(a.Done(), a.Continue(1));
        Assert.Equal(1, a.ReadNow(0));

        // A private page comes of the write, by the kernel alone; the image and the other clients do not see it.
        a.WriteNow(0, 2);
        a.AssertSilent();
        a.WriteCache(0, 3);
        Assert.Equal(2, a.ReadNow(0));

        // A page that was not written follows the image: it must not change under its clients.
        a.WriteCache(1, 3);
        Assert.Equal(3, a.ReadNow(1));
    }

    private static void CopyOverCache(Arena a)
    {
        a.WriteCache(0, 1);
        a.Begin(UffdRegisterModes.Missing);
        UffdResult result = a.Copy(0, 2);
        if (a.Kind == MemoryKinds.PrivateMemfd)
        {
            // A page of the client's own, beside the one of the image.
            Assert.Equal(a.Done(), result);
            Assert.Equal(2, a.ReadNow(0));
        }
        else
        {
            Assert.Equal(Arena.Failed(Errno.EEXIST), result);
            Assert.Equal(1, a.ReadNow(0));
        }
    }

    private static void BecomesMinor(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing | UffdRegisterModes.Minor);
        Task<ClientReply> reader = a.Read(0);
        Assert.Equal(UffdFaultFlags.None, a.Next().Flags);
        a.WriteCache(0, 33);
        Assert.Equal(Errno.OK, a.Wake(0));
        Assert.Equal(UffdFaultFlags.Minor, a.Next().Flags);
        Assert.Equal(a.Done(), a.Continue(0));
        Assert.Equal(33UL, Arena.Get(reader).Value);
    }

    private static void PunchEvict(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect, UffdFeatures.WpHugetlbfsShmem | UffdFeatures.EventRemove);
        Assert.Equal(a.Done(), a.Copy(0, 5));
        Assert.Equal(Errno.OK, a.Protect(0));
        Task<ClientReply> writer = a.Write(0, 6);
        Assert.True(a.Next().Flags.HasFlag(UffdFaultFlags.WriteProtect));

        // The page goes away under the waiting writer, without an event; woken, it finds the page missing.
        Assert.Equal(Errno.OK, FileIo.Fallocate(a.Memfd!, FallocateMode.PunchHole | FallocateMode.KeepSize, 0, (long)a.PageSize));
        Assert.Equal(Errno.OK, a.Wake(0));
        UffdMessage message = a.Next();
        Assert.Equal((UffdEventKind.PageFault, UffdFaultFlags.Write), (message.Event, message.Flags));
        Assert.Equal(a.Done(), a.Copy(0, 5));
        _ = Arena.Get(writer).Value;
        Assert.Equal(6, a.ReadNow(0));
        a.AssertSilent();
    }
}
