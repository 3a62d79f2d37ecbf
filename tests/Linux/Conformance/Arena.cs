using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>Some pages of one memory type in one process, a userfaultfd of that process in our hands, and what a row needs to say briefly.</summary>
internal sealed class Arena : IDisposable
{
    private readonly HugePages? _pool;
    private readonly nuint _source;
    private readonly FdLease _lease;

    public Arena(MemoryKinds kind, Places place)
    {
        Kind = kind;
        Place = place;
        PageSize = kind == MemoryKinds.Hugetlb ? HugePages.PageSize : 4096UL;
        Pages = kind == MemoryKinds.Hugetlb ? 4 : 8;
        _pool = kind == MemoryKinds.Hugetlb ? HugePages.AtLeast(2 * Pages) : null;
        Owner = place == Places.SameProcess ? new LocalOwner() : new RemoteOwner();
        (Start, Memfd) = Owner.Map(kind, Length);
        Uffd = Owner.OpenUffd();
        _lease = Uffd.Lease();
        _source = NativePages.Map(Length);
    }

    public MemoryKinds Kind { get; }

    public Places Place { get; }

    public IMemoryOwner Owner { get; }

    /// <summary>The client, in rows for another process only.</summary>
    public ClientProcess Client => ((RemoteOwner)Owner).Client;

    public SafeUffd Uffd { get; }

    public FdLease Lease => _lease;

    public SafeFile? Memfd { get; }

    public ulong PageSize { get; }

    public int Pages { get; }

    public ulong Start { get; }

    public ulong Length => (ulong)Pages * PageSize;

    public ulong Page(int index) => Start + ((ulong)index * PageSize);

    /// <summary>UFFDIO_API and UFFDIO_REGISTER of everything.</summary>
    public void Begin(UffdRegisterModes modes, UffdFeatures features = UffdFeatures.None)
    {
        Require.That((Userfaultfd.ProbeFeatures() & features) == features, $"needs {features} in the kernel");
        Assert.Equal(Errno.OK, Userfaultfd.Api(Uffd, features, out _, out _));
        if (modes != UffdRegisterModes.None)
            Assert.Equal(Errno.OK, Userfaultfd.Register(Uffd, Start, Length, modes, out _));
    }

    /// <summary>A buffer of <paramref name="pages"/> pages filled with a byte; one per arena.</summary>
    public nuint Source(byte value, int pages = 1)
    {
        NativePages.AsSpan(_source, (int)((ulong)pages * PageSize)).Fill(value);
        return _source;
    }

    public UffdResult Copy(int page, byte value, UffdCopyModes mode = UffdCopyModes.None, int pages = 1) =>
        Userfaultfd.Copy(_lease, Page(page), Source(value, pages), (ulong)pages * PageSize, mode);

    public UffdResult Zero(int page) => Userfaultfd.ZeroPage(_lease, Page(page), PageSize);

    public UffdResult Continue(int page, UffdCopyModes mode = UffdCopyModes.None) => Userfaultfd.Continue(_lease, Page(page), PageSize, mode);

    public UffdResult Poison(int page) => Userfaultfd.Poison(_lease, Page(page), PageSize);

    public Errno Protect(int page, bool protect = true) => Userfaultfd.WriteProtect(_lease, Page(page), PageSize, protect);

    public Errno Wake(int page) => Userfaultfd.Wake(_lease, Page(page), PageSize);

    public UffdResult Done(int pages = 1) => new(Errno.OK, (long)((ulong)pages * PageSize));

    public static UffdResult Failed(Errno errno) => new(errno, 0);

    /// <summary>Writes a byte to a page of the memfd through a mapping that is not registered.</summary>
    public void WriteCache(int page, byte value)
    {
        nuint view = NativePages.MapShared(Memfd!, 0, Length, writable: true);
        NativePages.At<byte>(view + (nuint)((ulong)page * PageSize)) = value;
        NativePages.Unmap(view, Length);
    }

    public Task<ClientReply> Read(int page) => Owner.Read(Page(page));

    public Task<ClientReply> Write(int page, byte value) => Owner.Write(Page(page), value);

    public byte ReadNow(int page) => (byte)Get(Read(page)).Value;

    public void WriteNow(int page, byte value) => _ = Get(Write(page, value)).Value;

    /// <summary>Waits for what must come.</summary>
    public static ClientReply Get(Task<ClientReply> task)
    {
        Assert.True(task.Wait(Eventually.DefaultDeadline), "a thread of the owner sleeps on");
        return task.Result;
    }

    /// <summary>The next message, waiting for it.</summary>
    public UffdMessage Next() => Next(_lease);

    public static UffdMessage Next(FdLease uffd)
    {
        UffdMessage[] message = new UffdMessage[1];
        Eventually.True(() => Userfaultfd.Read(uffd, message, out _) == 1, "a message");
        return message[0];
    }

    /// <summary>Asserts that there is no message now.</summary>
    public void AssertSilent()
    {
        Assert.Equal(0, Userfaultfd.Read(_lease, new UffdMessage[1], out Errno errno));
        Assert.Equal(Errno.EAGAIN, errno);
    }

    /// <summary>Waits until somebody sleeps in a fault that nobody has read.</summary>
    public void AwaitPending(int count = 1) => Eventually.True(() => UffdFdInfoReader.Read(Uffd).Pending == count, $"{count} faults");

    /// <summary>Waits until the kernel fills again after an event has been read.</summary>
    public void AwaitSettled() => Eventually.True(() => !Userfaultfd.IsChanging(_lease), "the end of the change");

    /// <summary>Poison and the Sigbus feature: a signal where the code touches, EFAULT where the kernel does it for us.</summary>
    public void AssertKills(ClientReply reply)
    {
        if (Place == Places.OtherProcess)
            Assert.Equal(ClientReply.Sigbus, reply.Signal);
        else
            Assert.Equal(Errno.EFAULT, reply.Errno);
    }

    public void Dispose()
    {
        _lease.Dispose();
        Uffd.Dispose();
        Owner.Dispose();
        Memfd?.Dispose();
        NativePages.Unmap(_source, Length);
        _pool?.Dispose();
    }
}
