using UffdManager.TestSupport;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>
/// Memory of this process. It is touched through system calls only: a managed thread that sleeps in a page fault of its own code could
/// not be stopped for a garbage collection, and the test that would resolve the fault would wait for the collection.
/// </summary>
internal sealed class LocalOwner : IMemoryOwner
{
    private readonly SafeMemfd _exchange = Memfd.Create("exchange", MemfdFlags.None);
    private readonly List<(ulong Address, ulong Length)> _mappings = [];
    private readonly List<Task> _running = [];
    private int _next;

    public int Pid => ProcessInfo.CurrentPid;

    public SafeUffd OpenUffd() => Userfaultfd.Open();

    public (ulong Address, SafeFile? Memfd) Map(MemoryKinds kind, ulong length)
    {
        SafeFile? memfd = null;
        if (kind != MemoryKinds.Anonymous)
        {
            using SafeMemfd made = Memfd.Create("arena", kind == MemoryKinds.Hugetlb ? MemfdFlags.HugeTlb : MemfdFlags.None);
            Memfd.Truncate(made, (long)length);
            memfd = made.Duplicate<SafeFile>();
        }

        MappingFlags flags = kind is MemoryKinds.SharedMemfd or MemoryKinds.Hugetlb ? MappingFlags.Shared : MappingFlags.None;
        Errno errno = NativePages.Map(memfd, 0, length, PageProtection.Read | PageProtection.Write, flags, 0, out nuint address);
        if (errno != Errno.OK)
            throw new SyscallException(errno, "mmap", kind.ToString());
        _mappings.Add((address, length));
        return (address, memfd);
    }

    public Task<ClientReply> Read(ulong address) => Begin($"read {address:x}", slot =>
    {
        using FdLease exchange = _exchange.Lease();
        Errno errno = FileIo.Write(exchange, (nuint)address, 1, slot, out _);
        return (errno, errno == Errno.OK ? ReadExchange(exchange, slot) : 0UL);
    });

    public Task<ClientReply> Write(ulong address, byte value) => Begin($"write {address:x}", slot =>
    {
        using FdLease exchange = _exchange.Lease();
        nuint page = NativePages.Map(4096);
        NativePages.AsSpan(page, 1)[0] = value;
        Errno prepared = FileIo.Write(exchange, page, 1, slot, out _);
        NativePages.Unmap(page, 4096);
        return (prepared == Errno.OK ? FileIo.Read(exchange, (nuint)address, 1, slot, out _) : prepared, 0UL);
    });

    public Task<ClientReply> Advise(ulong address, ulong length, MemoryAdvice advice) =>
        Begin($"madvise {advice}", _ => (NativePages.Advise((nuint)address, length, advice), 0));

    public Task<ClientReply> Unmap(ulong address, ulong length)
    {
        Forget(address, length);
        return Begin("munmap", _ =>
        {
            NativePages.Unmap((nuint)address, length);
            return (Errno.OK, 0);
        });
    }

    public Task<ClientReply> Move(ulong address, ulong length)
    {
        const ulong Huge = 2 << 20;
        nuint room = NativePages.Map(length + Huge);
        _mappings.Add((room, length + Huge));
        Forget(address, length);
        nuint target = (room + (nuint)Huge - 1) & ~((nuint)Huge - 1);
        return Begin("mremap", _ => (NativePages.Remap((nuint)address, length, length, target, out nuint moved), moved));
    }

    public Task<ClientReply> Protect(ulong address, ulong length, PageProtection protection) =>
        Begin("mprotect", _ => (NativePages.Protect((nuint)address, length, protection), 0));

    public void Dispose()
    {
        // The userfaultfd is closed by now, so nobody sleeps any more.
        Task.WaitAll([.. _running], Eventually.DefaultDeadline);
        foreach ((ulong address, ulong length) in _mappings)
            NativePages.Unmap((nuint)address, length);
        _exchange.Dispose();
    }

    // What is unmapped may be somebody else's memory the next moment: it must not be unmapped again at the end.
    private void Forget(ulong address, ulong length)
    {
        (ulong start, ulong whole) = _mappings.Single(m => m.Address <= address && address + length <= m.Address + m.Length);
        _mappings.Remove((start, whole));
        if (address > start)
            _mappings.Add((start, address - start));
        if (address + length < start + whole)
            _mappings.Add((address + length, start + whole - address - length));
    }

    private static byte ReadExchange(FdLease exchange, int slot)
    {
        nuint page = NativePages.Map(4096);
        _ = FileIo.Read(exchange, page, 1, slot, out _);
        byte value = NativePages.AsSpan(page, 1)[0];
        NativePages.Unmap(page, 4096);
        return value;
    }

    private Task<ClientReply> Begin(string what, Func<int, (Errno Errno, ulong Value)> call)
    {
        // Pages apart: the exchange's page stays locked while the kernel waits for ours, and others must not queue for it.
        int slot = _next++ * 4096;
        Task<ClientReply> task = Task.Factory.StartNew(
            () =>
            {
                (Errno errno, ulong value) = call(slot);
                return new ClientReply(what, errno, 0, [value]);
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        _running.Add(task);
        return task;
    }
}
