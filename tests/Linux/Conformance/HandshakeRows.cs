using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>UFFDIO_API, UFFDIO_REGISTER, UFFDIO_UNREGISTER.</summary>
internal static class HandshakeRows
{
    private const UffdIoctls Always = UffdIoctls.Wake | UffdIoctls.Copy | UffdIoctls.Poison;

    public static IReadOnlyList<Row> All { get; } =
    [
        new("api", MemoryKinds.Anonymous, Places.Both, Api),
        new("before-api", MemoryKinds.Anonymous, Places.Both, BeforeApi),
        new("register-ioctls", MemoryKinds.All, Places.Both, RegisterIoctls),
        new("register-refusals", MemoryKinds.All, Places.Both, RegisterRefusals),
        new("register-holes", MemoryKinds.All, Places.Both, RegisterHoles),
        new("register-fewer-modes-keeps-old", MemoryKinds.All, Places.Both, RegisterFewerModes),
        new("unregister", MemoryKinds.All, Places.Both, Unregister),
        new("two-uffds", MemoryKinds.All, Places.Both, TwoUffds),
        new("fdinfo", MemoryKinds.Anonymous, Places.Both, FdInfo),
        new("remote-api-event-fork-needs-ptrace", MemoryKinds.Anonymous, Places.OtherProcess, EventForkNeedsPtrace),
        new("remote-device", MemoryKinds.Anonymous, Places.OtherProcess, Device),
        new("remote-read-only-memfd", MemoryKinds.SharedMemfd, Places.OtherProcess, ReadOnlyMemfd),
        new("remote-file-on-disk", MemoryKinds.Anonymous, Places.OtherProcess, FileOnDisk),
    ];

    private static void Api(Arena a)
    {
        Assert.Equal(Errno.EINVAL, Userfaultfd.Api(a.Uffd, (UffdFeatures)(1UL << 60), out UffdFeatures features, out _));
        Assert.Equal(UffdFeatures.None, features);

        // The refusal left the descriptor usable; the features told are those of the kernel, not those asked for.
        Assert.Equal(Errno.OK, Userfaultfd.Api(a.Uffd, UffdFeatures.EventUnmap, out features, out UffdIoctls ioctls));
        Assert.Equal(Userfaultfd.ProbeFeatures(), features);
        Assert.True(features.HasFlag(UffdFeatures.MissingShmem | UffdFeatures.EventFork | UffdFeatures.EventUnmap));
        Assert.Equal(UffdIoctls.Api | UffdIoctls.Register | UffdIoctls.Unregister, ioctls);
        Assert.Equal(Errno.EINVAL, Userfaultfd.Api(a.Uffd, UffdFeatures.None, out _, out _));
    }

    private static void BeforeApi(Arena a)
    {
        Assert.Equal(Errno.EINVAL, Userfaultfd.Register(a.Uffd, a.Start, a.Length, UffdRegisterModes.Missing, out _));
        Assert.Equal(Errno.EINVAL, Userfaultfd.Unregister(a.Uffd, a.Start, a.Length));
        Assert.Equal(Arena.Failed(Errno.EINVAL), a.Copy(0, 1));
        Assert.Equal(Arena.Failed(Errno.EINVAL), a.Zero(0));
        Assert.Equal(Errno.EINVAL, a.Wake(0));
        Assert.Equal(0, Userfaultfd.Read(a.Lease, new UffdMessage[1], out Errno errno));
        Assert.Equal(Errno.EINVAL, errno);
        Assert.False(UffdFdInfoReader.Read(a.Uffd).Initialised);
    }

    private static void RegisterIoctls(Arena a)
    {
        a.Begin(UffdRegisterModes.None, UffdFeatures.WpHugetlbfsShmem | UffdFeatures.Poison | UffdFeatures.Move);
        for (UffdRegisterModes modes = 0; modes <= (UffdRegisterModes)7; modes++)
        {
            bool refused = modes == 0 || (modes.HasFlag(UffdRegisterModes.Minor) && a.Kind == MemoryKinds.Anonymous);
            Errno errno = Userfaultfd.Register(a.Uffd, a.Start, a.Length, modes, out UffdIoctls ioctls);
            Assert.Equal(refused ? Errno.EINVAL : Errno.OK, errno);
            Assert.Equal(refused ? UffdIoctls.None : Expected(a, modes), ioctls);
            Assert.Equal(refused ? UffdRegisterModes.None : modes, ModesInSmaps(a, a.Start));
            Assert.Equal(Errno.OK, Userfaultfd.Unregister(a.Uffd, a.Start, a.Length));
        }

        Assert.Equal(Errno.EINVAL, Userfaultfd.Register(a.Uffd, a.Start, a.Length, (UffdRegisterModes)(1UL << 40), out _));
    }

    private static UffdIoctls Expected(Arena a, UffdRegisterModes modes) =>
        Always
        | (a.Kind == MemoryKinds.Hugetlb ? UffdIoctls.None : UffdIoctls.ZeroPage | UffdIoctls.Move)
        | (modes.HasFlag(UffdRegisterModes.WriteProtect) ? UffdIoctls.WriteProtect : UffdIoctls.None)
        | (modes.HasFlag(UffdRegisterModes.Minor) ? UffdIoctls.Continue : UffdIoctls.None);

    private static void RegisterRefusals(Arena a)
    {
        a.Begin(UffdRegisterModes.None);
        Assert.Equal(Errno.EINVAL, Register(a.Start + 1, a.PageSize));
        Assert.Equal(Errno.EINVAL, Register(a.Start, a.PageSize - 1));
        Assert.Equal(Errno.EINVAL, Register(a.Start, 0));
        Assert.Equal(Errno.EINVAL, Register(0xFFFF_8000_0000_0000, a.PageSize));
        if (a.Kind == MemoryKinds.Hugetlb)
            Assert.Equal(Errno.EINVAL, Register(a.Start, 4096));
        Assert.Equal(Errno.OK, Arena.Get(a.Owner.Unmap(a.Page(1), a.PageSize)).Errno);
        Assert.Equal(Errno.EINVAL, Register(a.Page(1), a.PageSize));
        Errno Register(ulong start, ulong length) => Userfaultfd.Register(a.Uffd, start, length, UffdRegisterModes.Missing, out _);
    }

    private static void RegisterHoles(Arena a)
    {
        a.Begin(UffdRegisterModes.None);
        Assert.Equal(Errno.OK, Arena.Get(a.Owner.Unmap(a.Page(1), a.PageSize)).Errno);
        Assert.Equal(Errno.OK, Userfaultfd.Register(a.Uffd, a.Start, a.Length, UffdRegisterModes.Missing, out _));
        Assert.Equal(a.Done(), a.Copy(0, 1));
        Assert.Equal(Arena.Failed(Errno.ENOENT), a.Copy(1, 1));
        Assert.Equal(a.Done(), a.Copy(2, 1));
    }

    private static void RegisterFewerModes(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect, UffdFeatures.WpHugetlbfsShmem);
        Assert.Equal(Errno.OK, Userfaultfd.Register(a.Uffd, a.Start, a.Length, UffdRegisterModes.Missing, out _));
        Assert.Equal(UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect, ModesInSmaps(a, a.Start));
    }

    private static void Unregister(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        Task<ClientReply> sleeper = a.Read(0);
        a.AwaitPending();
        Assert.Equal(Errno.OK, Userfaultfd.Unregister(a.Uffd, a.Start, a.Length));

        // The sleeper goes on with plain memory, silently: why a manager that gives up must not unregister.
        Assert.Equal(0UL, Arena.Get(sleeper).Value);
        Assert.Equal(Errno.OK, Userfaultfd.Unregister(a.Uffd, a.Start, a.Length));
        Assert.Equal(Arena.Failed(Errno.ENOENT), a.Copy(1, 1));
        Assert.Equal(Errno.EINVAL, Userfaultfd.Unregister(a.Uffd, a.Start + 1, a.PageSize));
        Assert.Equal(Errno.OK, Arena.Get(a.Owner.Unmap(a.Page(2), a.PageSize)).Errno);
        Assert.Equal(Errno.EINVAL, Userfaultfd.Unregister(a.Uffd, a.Page(2), a.PageSize));
    }

    private static void TwoUffds(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing);
        using SafeUffd second = a.Owner.OpenUffd();
        using FdLease lease = second.Lease();
        Assert.Equal(Errno.OK, Userfaultfd.Api(second, UffdFeatures.None, out _, out _));
        Assert.Equal(Errno.EBUSY, Userfaultfd.Register(second, a.Start, a.PageSize, UffdRegisterModes.Missing, out _));

        // Kernels before 6.13 do not ask who owns the range.
        Assert.Equal(Errno.EINVAL, Userfaultfd.Unregister(second, a.Start, a.PageSize));

        // Filling asks only that somebody of the same address space has registered.
        Assert.Equal(Errno.OK, Userfaultfd.Copy(lease, a.Start, a.Source(9), a.PageSize, UffdCopyModes.None).Errno);
        Assert.Equal(9, a.ReadNow(0));
        (ulong other, SafeFile? memfd) = a.Owner.Map(a.Kind == MemoryKinds.Hugetlb ? MemoryKinds.Anonymous : a.Kind, 4096);
        Assert.Equal(Errno.OK, Userfaultfd.Register(second, other, 4096, UffdRegisterModes.Missing, out _));
        memfd?.Dispose();
    }

    private static void FdInfo(Arena a)
    {
        a.Begin(UffdRegisterModes.Missing, UffdFeatures.EventRemove | UffdFeatures.ThreadId);
        UffdFdInfo before = UffdFdInfoReader.Read(a.Uffd);
        Assert.True(before.Initialised);
        Assert.Equal(UffdFeatures.EventRemove | UffdFeatures.ThreadId, before.Enabled);
        Assert.Equal(0xAAUL, before.Api);
        Task<ClientReply> sleeper = a.Read(0);
        a.AwaitPending();
        _ = a.Next();
        Assert.Equal((0L, 1L), (UffdFdInfoReader.Read(a.Uffd).Pending, UffdFdInfoReader.Read(a.Uffd).Total));
        Assert.Equal(a.Done(), a.Zero(0));
        _ = Arena.Get(sleeper).Value;
        Assert.Equal(0, UffdFdInfoReader.Read(a.Uffd).Total);
    }

    private static void EventForkNeedsPtrace(Arena a)
    {
        a.Client.Run("setuid 65534");
        int number = (int)a.Client.Run("uffd 1");
        Assert.Equal(Errno.EPERM, a.Client.Try($"api {number} {(ulong)UffdFeatures.EventFork}").Errno);

        // The privilege asked for is the caller's, and the caller may be the manager.
        using SafeUffd uffd = a.Client.Take<SafeUffd>(number);
        Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.EventFork, out _, out _));
    }

    private static void Device(Arena a)
    {
        using SafeFile device = Userfaultfd.OpenDevice();
        int given = a.Client.Give(device);
        a.Client.Run("setuid 65534");
        int number = (int)a.Client.Run($"uffddev {given}");
        using SafeUffd uffd = a.Client.Take<SafeUffd>(number);
        Assert.True(Userfaultfd.IsUserfaultfd(uffd));
        Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.EventFork, out _, out _));
        Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, a.Start, a.Length, UffdRegisterModes.Missing, out _));

        // A full userfaultfd: the kernel's own access waits, too.
        Task<ClientReply> sleeper = ((RemoteOwner)a.Owner).Begin($"kread {a.Start} 1");
        using FdLease lease = uffd.Lease();
        Assert.Equal(a.Start, Arena.Next(lease).Address);
        Assert.Equal(Errno.OK, Userfaultfd.ZeroPage(lease, a.Start, a.PageSize).Errno);
        Assert.Equal(1UL, Arena.Get(sleeper).Value);
    }

    private static void ReadOnlyMemfd(Arena a)
    {
        a.Begin(UffdRegisterModes.None);
        using SafeFile readOnly = Memfd.ReopenReadOnly(a.Memfd!);
        int number = a.Client.Give(readOnly);
        ulong shared = a.Client.Run($"mapfd {number} 0 4096 1 1");
        Assert.Equal(Errno.EPERM, Userfaultfd.Register(a.Uffd, shared, 4096, UffdRegisterModes.Missing, out _));
        ulong single = a.Client.Run($"mapfd {number} 0 4096 0 3");
        Assert.Equal(Errno.OK, Userfaultfd.Register(a.Uffd, single, 4096, UffdRegisterModes.Missing | UffdRegisterModes.Minor, out _));
    }

    private static void FileOnDisk(Arena a)
    {
        a.Begin(UffdRegisterModes.None, UffdFeatures.WpAsync);
        string path = $"/var/tmp/uffd-test-on-disk-{a.Owner.Pid}";
        File.WriteAllBytes(path, new byte[8192]);
        try
        {
            using SafeFile file = FileIo.Open(path, OpenFlags.ReadWrite);
            Require.That(FileIo.Stat(file).DeviceMajor != 0, "needs /var/tmp on a disk");
            ulong address = a.Client.Run($"mapfd {a.Client.Give(file)} 0 8192 1 3");
            Assert.Equal(Errno.EINVAL, Userfaultfd.Register(a.Uffd, address, 8192, UffdRegisterModes.Missing, out _));
            Assert.Equal(Errno.OK, Userfaultfd.Register(a.Uffd, address, 8192, UffdRegisterModes.WriteProtect, out _));
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static UffdRegisterModes ModesInSmaps(Arena a, ulong address) =>
        ProcessInfo.ReadSmaps(a.Owner.Pid).Single(v => v.Start <= address && address < v.End).UffdModes;
}
