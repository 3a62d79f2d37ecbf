using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>UFFDIO_COPY, UFFDIO_ZEROPAGE, UFFDIO_POISON, UFFDIO_MOVE and UFFDIO_WAKE.</summary>
internal static class FillRows
{
    public static IReadOnlyList<Row> All { get; } =
    [
        new("missing", MemoryKinds.All, Places.Both, Missing),
        new("copy", MemoryKinds.All, Places.Both, Copy),
        new("copy-refusals", MemoryKinds.All, Places.Both, CopyRefusals),
        new("copy-partial", MemoryKinds.All, Places.Both, CopyPartial),
        new("copy-across-vmas", MemoryKinds.Small, Places.Both, CopyAcrossVmas),
        new("copy-dontwake", MemoryKinds.All, Places.Both, CopyDontWake),
        new("eexist-does-not-wake", MemoryKinds.All, Places.Both, ExistsDoesNotWake),
        new("zeropage", MemoryKinds.All, Places.Both, ZeroPage),
        new("poison", MemoryKinds.All, Places.Both, Poison),
        new("sigbus", MemoryKinds.All, Places.Both, Sigbus),
        new("move", MemoryKinds.All, Places.Both, Move),
        new("wake-redeliver", MemoryKinds.All, Places.Both, WakeRedeliver),
        new("thread-id", MemoryKinds.Anonymous, Places.OtherProcess, ThreadId),
        new("exact-address", MemoryKinds.All, Places.Both, ExactAddress),
        new("remote-user-mode-only", MemoryKinds.Anonymous, Places.OtherProcess, UserModeOnly),
        new("hugetlb-pool-exhausted", MemoryKinds.Hugetlb, Places.OtherProcess, PoolExhausted),
    ];

    private static void Missing(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Task<ClientReply> reader = a.Read(0);
        UffdMessage message = a.Next();
        Assert.Equal((UffdEventKind.PageFault, UffdFaultFlags.None, a.Page(0)), (message.Event, message.Flags, message.Address));
        Assert.Equal(a.Done(), a.Copy(0, 7));
        Assert.Equal(7UL, Arena.Get(reader).Value);

        Task<ClientReply> writer = a.Write(1, 5);
        message = a.Next();
        Assert.Equal((UffdEventKind.PageFault, UffdFaultFlags.Write, a.Page(1)), (message.Event, message.Flags, message.Address));
        Assert.Equal(a.Done(), a.Copy(1, 7));
        _ = Arena.Get(writer).Value;
        Assert.Equal(5, a.ReadNow(1));
        a.AssertSilent();
    }

    private static void Copy(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Assert.Equal(a.Done(), a.Copy(0, 1));
        Assert.Equal(Arena.Failed(Errno.EEXIST), a.Copy(0, 2));
        Assert.Equal(1, a.ReadNow(0));
        Assert.Equal(a.Done(a.Pages - 1), a.Copy(1, 3, pages: a.Pages - 1));
        Assert.Equal(3, a.ReadNow(a.Pages - 1));
    }

    private static void CopyRefusals(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Assert.Equal(Errno.EINVAL, Copy(a.Start + 1, a.Source(1), a.PageSize).Errno);
        Assert.Equal(Errno.EINVAL, Copy(a.Start, a.Source(1), a.PageSize + 1).Errno);
        Assert.Equal(Errno.EINVAL, Copy(a.Start, a.Source(1), 0).Errno);
        Assert.Equal(Errno.EINVAL, Copy(0xFFFF_8000_0000_0000, a.Source(1), a.PageSize).Errno);
        if (a.Kind == MemoryKinds.Hugetlb)
            Assert.Equal(Errno.EINVAL, Copy(a.Start, a.Source(1), 4096).Errno);

        // A source that cannot be read; an unaligned one is fine.
        nuint unreadable = NativePages.Map(a.PageSize, PageProtection.None);
        Assert.Equal(Arena.Failed(Errno.EFAULT), Copy(a.Start, unreadable, a.PageSize));
        NativePages.Unmap(unreadable, a.PageSize);
        Assert.Equal(a.Done(), Copy(a.Start, a.Source(1, 2) + 3, a.PageSize));

        // Write-protected copies need the registration.
        Assert.Equal(Arena.Failed(Errno.EINVAL), a.Copy(1, 1, UffdCopyModes.WriteProtect));
        Assert.Equal(Errno.OK, Userfaultfd.Unregister(a.Uffd, a.Page(1), a.PageSize));
        Assert.Equal(Arena.Failed(Errno.ENOENT), a.Copy(1, 1));
        Assert.Equal(Errno.OK, Arena.Get(a.Owner.Unmap(a.Page(2), a.PageSize)).Errno);
        Assert.Equal(Arena.Failed(Errno.ENOENT), a.Copy(2, 1));
        UffdResult Copy(ulong dst, nuint src, ulong length) => Userfaultfd.Copy(a.Lease, dst, src, length, UffdCopyModes.None);
    }

    private static void CopyPartial(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Assert.Equal(a.Done(), a.Copy(2, 9));
        UffdResult result = a.Copy(0, 1, pages: a.Pages);
        Assert.Equal(new UffdResult(Errno.EAGAIN, (long)(2 * a.PageSize)), result);
        Assert.Equal(Arena.Failed(Errno.EEXIST), a.Copy(2, 1, pages: a.Pages - 2));
        Assert.Equal(a.Done(a.Pages - 3), a.Copy(3, 1, pages: a.Pages - 3));
        Assert.Equal((1, 9, 1), (a.ReadNow(1), a.ReadNow(2), a.ReadNow(3)));
    }

    private static void CopyAcrossVmas(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Assert.Equal(Errno.OK, Arena.Get(a.Owner.Protect(a.Page(2), a.PageSize, PageProtection.None)).Errno);
        Assert.Equal(Arena.Failed(Errno.ENOENT), a.Copy(0, 1, pages: 4));
        Assert.Equal(a.Done(2), a.Copy(0, 1, pages: 2));

        // Nobody may read the page, and yet it is filled.
        Assert.Equal(a.Done(), a.Copy(2, 1));
        Assert.Equal(a.Done(), a.Copy(3, 1));
    }

    private static void CopyDontWake(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Task<ClientReply> sleeper = a.Read(0);
        a.AwaitPending();
        Assert.Equal(a.Done(), a.Copy(0, 4, UffdCopyModes.DontWake));
        Assert.Equal(1, UffdFdInfoReader.Read(a.Uffd).Total);
        Assert.False(sleeper.IsCompleted);
        Assert.Equal(Errno.OK, a.Wake(0));
        Assert.Equal(4UL, Arena.Get(sleeper).Value);
    }

    private static void ExistsDoesNotWake(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Task<ClientReply> sleeper = a.Read(0);
        a.AwaitPending();
        _ = a.Next();
        Assert.Equal(a.Done(), a.Copy(0, 4, UffdCopyModes.DontWake));
        Assert.Equal(Arena.Failed(Errno.EEXIST), a.Copy(0, 5));
        Assert.Equal(1, UffdFdInfoReader.Read(a.Uffd).Total);
        Assert.False(sleeper.IsCompleted);
        Assert.Equal(Errno.OK, a.Wake(0));
        Assert.Equal(4UL, Arena.Get(sleeper).Value);
    }

    private static void ZeroPage(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        if (a.Kind == MemoryKinds.Hugetlb)
        {
            Assert.Equal(Arena.Failed(Errno.EINVAL), a.Zero(0));
            return;
        }

        Assert.Equal(a.Done(), a.Zero(0));
        Assert.Equal(Arena.Failed(Errno.EEXIST), a.Zero(0));
        Assert.Equal(0, a.ReadNow(0));
        a.WriteNow(0, 6);
        Assert.Equal(6, a.ReadNow(0));
        Assert.Equal(new UffdResult(Errno.OK, (long)(2 * a.PageSize)), Userfaultfd.ZeroPage(a.Lease, a.Page(1), 2 * a.PageSize));
        Assert.Equal(Errno.EINVAL, Userfaultfd.ZeroPage(a.Lease, a.Start + 1, a.PageSize).Errno);
        Assert.Equal(Errno.OK, Userfaultfd.Unregister(a.Uffd, a.Page(4), a.PageSize));
        Assert.Equal(Arena.Failed(Errno.ENOENT), a.Zero(4));
    }

    private static void Poison(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.Poison);
        Assert.Equal(a.Done(), a.Poison(0));
        a.AssertKills(Arena.Get(a.Read(0)));
        a.AssertKills(Arena.Get(a.Write(0, 1)));
        a.AssertSilent();
        Assert.Equal(Arena.Failed(Errno.EEXIST), a.Poison(0));

        // A copy heals, and so does discarding the page, which is missing then.
        Assert.Equal(a.Done(), a.Copy(0, 8));
        Assert.Equal(8, a.ReadNow(0));
        Assert.Equal(Arena.Failed(Errno.EEXIST), a.Poison(0));
        Assert.Equal(a.Done(), a.Poison(1));
        Assert.Equal(Errno.OK, Arena.Get(a.Owner.Advise(a.Page(1), a.PageSize, MemoryAdvice.DontNeed)).Errno);
        Task<ClientReply> reader = a.Read(1);
        Assert.Equal(a.Page(1), a.Next().Address);
        Assert.Equal(a.Done(), a.Copy(1, 3));
        Assert.Equal(3UL, Arena.Get(reader).Value);

        // A sleeper is woken into the poison.
        Task<ClientReply> sleeper = a.Read(2);
        a.AwaitPending();
        Assert.Equal(a.Done(), a.Poison(2));
        a.AssertKills(Arena.Get(sleeper));
    }

    private static void Sigbus(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.Sigbus);
        a.AssertKills(Arena.Get(a.Read(0)));
        a.AssertSilent();
        Assert.Equal(a.Done(), a.Copy(0, 2));
        Assert.Equal(2, a.ReadNow(0));
    }

    private static void Move(Arena a)
    {
        (ulong from, SafeFile? memfd) = a.Owner.Map(a.Kind == MemoryKinds.Hugetlb ? MemoryKinds.Anonymous : a.Kind, 2 * 4096);
        memfd?.Dispose();
        _ = Arena.Get(a.Owner.Write(from, 11)).Value;
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.Move);
        UffdResult result = Userfaultfd.Move(a.Lease, a.Start, from, 4096, UffdMoveModes.None);
        if (a.Kind != MemoryKinds.Anonymous || a.Place == Places.OtherProcess)
        {
            Assert.Equal(Arena.Failed(Errno.EINVAL), result);
            return;
        }

        Assert.Equal(a.Done(), result);
        Assert.Equal(11, a.ReadNow(0));
        Assert.Equal(0UL, Arena.Get(a.Owner.Read(from)).Value);
        _ = Arena.Get(a.Owner.Write(from, 12)).Value;
        Assert.Equal(Arena.Failed(Errno.EEXIST), Userfaultfd.Move(a.Lease, a.Start, from, 4096, UffdMoveModes.None));
        Assert.Equal(Arena.Failed(Errno.ENOENT), Userfaultfd.Move(a.Lease, a.Page(1), from + 4096, 4096, UffdMoveModes.None));
        Assert.Equal(a.Done(), Userfaultfd.Move(a.Lease, a.Page(1), from + 4096, 4096, UffdMoveModes.AllowSourceHoles));
        Assert.Equal(Errno.OK, Userfaultfd.Unregister(a.Uffd, a.Page(2), a.PageSize));
        Assert.Equal(Arena.Failed(Errno.EINVAL), Userfaultfd.Move(a.Lease, a.Page(2), from, 4096, UffdMoveModes.None));
    }

    private static void WakeRedeliver(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Task<ClientReply> sleeper = a.Read(0);
        Assert.Equal(a.Page(0), a.Next().Address);
        a.AssertSilent();

        // What a successor does with faults that its predecessor had read.
        Assert.Equal(Errno.OK, Userfaultfd.Wake(a.Lease, a.Start, a.Length));
        Assert.Equal(a.Page(0), a.Next().Address);
        Assert.Equal(a.Done(), a.Copy(0, 1));
        Assert.Equal(1UL, Arena.Get(sleeper).Value);
    }

    private static void ThreadId(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.ThreadId);
        ulong thread = a.Client.Run("tid", thread: 42);
        PendingReply reader = a.Client.Begin($"read {a.Start}", thread: 42);
        Assert.Equal(thread, a.Next().ThreadId);
        Assert.Equal(a.Done(), a.Copy(0, 1));
        Assert.Equal(1UL, reader.AwaitValue());
    }

    private static void ExactAddress(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.ExactAddress);
        Task<ClientReply> reader = a.Owner.Read(a.Start + 123);
        Assert.Equal(a.Start + 123, a.Next().Address);
        Assert.Equal(a.Done(), a.Copy(0, 1));
        _ = Arena.Get(reader).Value;
    }

    private static void UserModeOnly(Arena a)
    {
        using SafeUffd uffd = a.Client.OpenUffd(UffdOpenFlags.UserModeOnly);
        using FdLease lease = uffd.Lease();
        Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.None, out _, out _));
        Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, a.Start, a.Length, UffdRegisterModes.Missing, out _));
        Assert.Equal(Errno.EFAULT, a.Client.Try($"kread {a.Start} 1").Errno);
        Assert.Equal(Errno.EFAULT, a.Client.Try($"kwrite {a.Start} 1").Errno);
        Assert.Equal(0, Userfaultfd.Read(lease, new UffdMessage[1], out _));
        Task<ClientReply> reader = a.Read(0);
        Assert.Equal(a.Start, Arena.Next(lease).Address);
        Assert.Equal(Errno.OK, Userfaultfd.ZeroPage(lease, a.Start, 4096).Errno);
        _ = Arena.Get(reader).Value;
    }

    private static void PoolExhausted(Arena a)
    {
        a.Begin(UffdRegisterModes.None);
        ulong address = a.Client.Run($"map hugetlb-noreserve {2 * a.PageSize}");
        Assert.Equal(Errno.OK, Userfaultfd.Register(a.Uffd, address, 2 * a.PageSize, UffdRegisterModes.Missing, out _));

        // Take everything that is free (a shared mapping reserves what it covers).
        ulong rest = (ulong)HugePages.Free * a.PageSize;
        ulong taken = a.Client.Run($"map hugetlb-shared {rest}");
        Assert.Equal(0, HugePages.Free);

        // Not ENOMEM: the kernel finds the page-table slot that it has just made, and the page is still missing.
        Assert.Equal(Arena.Failed(Errno.EEXIST), Userfaultfd.Copy(a.Lease, address, a.Source(1), a.PageSize, UffdCopyModes.None));
        a.Client.Run($"munmap {taken} {rest}");
        Assert.Equal(a.Done(), Userfaultfd.Copy(a.Lease, address, a.Source(1), a.PageSize, UffdCopyModes.None));
        Assert.Equal(1, a.Client.ReadByte(address));
    }
}
