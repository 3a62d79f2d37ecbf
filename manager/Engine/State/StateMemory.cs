using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>
/// The memory of one session that outlives the manager: a memfd, mapped shared at one address for the session's life, with an allocator of blocks.
/// </summary>
/// <remarks>
/// <para>A process that is killed leaves exactly the stores it had made, in their order. So whatever is in here is written such that every prefix of
/// the stores is a state to go on from: a block is filled first and published by one store of a cell afterwards; it is given back only when no cell
/// leads to it any more.</para>
/// <para>The mapping is as long as the memory may ever become; beyond its present end nothing is touched. Pages are allocated by fallocate(2)
/// before they are written, so that lack of memory is an errno and no SIGBUS. Belongs to one fault loop; not thread safe.</para>
/// </remarks>
internal sealed class StateMemory : IDisposable
{
    public const int SmallKind = 0;
    public const int LargeKind = 1;

    private const ulong FirstChunk = 32 * 1024;
    private const ulong LargestChunk = 1024 * 1024;

    // Address space, not memory: a page table for 16 TiB of touched pages.
    private const ulong Reserve = 4UL << 30;

    private MemoryGauge _gauge;
    private readonly nuint[] _free = new nuint[2];
    private ulong _size;
    private ulong _next;

    private StateMemory(SafeMemfd memfd, nuint address, ulong size, MemoryGauge gauge)
    {
        _gauge = gauge;
        gauge.Add((long)size);
        Memfd = memfd;
        Base = address;
        _size = size;
        _next = StateLayout.Blocks;
    }

    /// <summary>The memory; owned.</summary>
    public SafeMemfd Memfd { get; }

    /// <summary>Where it is mapped.</summary>
    public nuint Base { get; }

    /// <summary>Bytes taken from the system.</summary>
    public ulong ReservedBytes => _size;

    public long SessionId => NativePages.At<long>(Base + StateLayout.BaseOfSessionId);

    /// <summary>New, empty memory; <see cref="Assign"/> says whose it is.</summary>
    /// <param name="gauge">Where its size is counted.</param>
    /// <exception cref="SyscallException">No descriptors or memory.</exception>
    public static StateMemory Create(MemoryGauge gauge)
    {
        SafeMemfd memfd = Linux.Memfd.Create("uffd-manager:session", MemfdFlags.AllowSealing);
        ulong size = StateLayout.Blocks + FirstChunk;
        nuint address = 0;
        try
        {
            address = MapNew(memfd);
            Errno errno = FileIo.Fallocate(memfd, FallocateMode.Allocate, 0, (long)size);
            if (errno != Errno.OK)
            {
                throw new SyscallException(errno, "fallocate", $"{size} bytes of state memory");
            }

            // Nobody can cut off what is mapped: that would be a SIGBUS for this manager, or the next.
            _ = Linux.Memfd.AddSeals(memfd, MemfdSeals.Shrink | MemfdSeals.Seal);
            return new StateMemory(memfd, address, size, gauge);
        }
        catch
        {
            if (address != 0)
            {
                NativePages.Unmap(address, Reserve);
            }

            memfd.Dispose();
            throw;
        }
    }

    /// <summary>The memory that another manager left behind; all of it counts as free until <see cref="Reclaim"/> has been told what is not.</summary>
    /// <param name="memfd">Owned from now on, also when this throws.</param>
    /// <param name="gauge">Where its size is counted.</param>
    /// <exception cref="CorruptStateException">It is not a state memory that this build can read.</exception>
    /// <exception cref="SyscallException">No memory.</exception>
    public static StateMemory Open(SafeMemfd memfd, MemoryGauge gauge)
    {
        StateMemory? memory = null;
        try
        {
            ulong size = (ulong)FileIo.Stat(memfd).Size;
            if (size is < StateLayout.Blocks or > Reserve || (Linux.Memfd.GetSeals(memfd) & MemfdSeals.Shrink) == 0)
            {
                throw new CorruptStateException($"the state memory has {size} bytes, or could be cut off: it is truncated, or nobody's");
            }

            memory = new StateMemory(memfd, Map(memfd), size, gauge);
            memory.CheckHeader();
            return memory;
        }
        catch
        {
            memory?.Dispose();
            memfd.Dispose();
            throw;
        }
    }

    /// <summary>Whether a descriptor looks like the state memory of a session.</summary>
    public static bool IsOne(SafeFd memfd)
    {
        return StateChecks.FirstWordOf(memfd) == StateLayout.Magic;
    }

    /// <summary>Says whose memory it is; once.</summary>
    public void Assign(long sessionId)
    {
        NativePages.At<uint>(Base + StateLayout.BaseOfVersion) = StateLayout.Version;
        NativePages.At<uint>(Base + StateLayout.BaseOfPageBytes) = (uint)PageSize.Base;
        NativePages.At<long>(Base + StateLayout.BaseOfSessionId) = sessionId;

        // Mapped before the kernel first writes there: to a process that is being killed it would not map it any more, and the message would be lost.
        NativePages.Clear(Base + StateLayout.Inbox, StateLayout.InboxBytes);
        NativePages.At<ulong>(Base + StateLayout.BaseOfMagic) = StateLayout.Magic;
        NativePages.At<uint>(Base + StateLayout.BaseOfFixedCheck) = FixedCheck();
    }

    /// <summary>Notes whose address space it is.</summary>
    public void WriteProcess(int pid, ulong startTime)
    {
        WriteCell(Base + StateLayout.StartTimeCell, startTime);
        WriteCell(Base + StateLayout.PidCell, (ulong)pid);
    }

    /// <summary>The process and its start time; pid 0 when it is not known, or does not check.</summary>
    public (int Pid, ulong StartTime) ReadProcess()
    {
        ulong pid = NativePages.At<ulong>(Base + StateLayout.PidCell);
        ulong startTime = NativePages.At<ulong>(Base + StateLayout.StartTimeCell);
        return StateChecks.IsIntact(pid) && StateChecks.IsIntact(startTime) ? ((int)StateChecks.Open(pid), StateChecks.Open(startTime)) : default;
    }

    /// <summary>The value of a cell.</summary>
    public static ulong ReadCell(nuint cell) => StateChecks.Open(NativePages.At<ulong>(cell));

    /// <summary>The value of a cell of memory that somebody else wrote.</summary>
    /// <exception cref="CorruptStateException">It has been tampered with.</exception>
    public ulong ReadCheckedCell(nuint cell)
    {
        ulong found = NativePages.At<ulong>(cell);
        return StateChecks.IsIntact(found) ? StateChecks.Open(found) : throw new CorruptStateException($"the cell at {cell - Base} does not check");
    }

    /// <summary>Publishes: everything written before is there if this is.</summary>
    public static void WriteCell(nuint cell, ulong value) => Volatile.Write(ref NativePages.At<ulong>(cell), StateChecks.Seal(value));

    /// <summary>Offset of a block, as cells hold it.</summary>
    public ulong OffsetOf(nuint address) => (ulong)(address - Base);

    public nuint AddressOf(ulong offset) => Base + (nuint)offset;

    /// <summary>A zeroed block, or 0 when the system has no memory or the session's reserve is used up.</summary>
    public nuint TryAllocate(int kind)
    {
        nuint block = _free[kind];
        ulong size = SizeOf(kind);
        if (block != 0)
        {
            _free[kind] = NativePages.At<nuint>(block);
            NativePages.Clear(block, (nuint)size);
            return block;
        }

        if (_size - _next < size && !TryGrow())
        {
            return 0;
        }

        block = Base + (nuint)_next;
        _next += size;
        return block;
    }

    /// <summary>Gives a block back. No cell may lead to it.</summary>
    public void Free(int kind, nuint block)
    {
        NativePages.At<nuint>(block) = _free[kind];
        _free[kind] = block;
    }

    /// <summary>Begins to find out what is in use.</summary>
    public UsedBlocks FindUsed() => new(_size);

    /// <summary>Everything that is not in use is free from now on.</summary>
    public void Reclaim(UsedBlocks used)
    {
        _next = used.End;
        NativePages.Clear(Base + (nuint)_next, (nuint)(_size - _next));
        for (ulong offset = StateLayout.Blocks; offset < _next;)
        {
            if (used.IsUsed(offset))
            {
                offset += StateLayout.SmallBlock;
            }
            else if (offset + StateLayout.LargeBlock <= _next && used.IsFree(offset, StateLayout.LargeBlock))
            {
                Free(LargeKind, Base + (nuint)offset);
                offset += StateLayout.LargeBlock;
            }
            else
            {
                Free(SmallKind, Base + (nuint)offset);
                offset += StateLayout.SmallBlock;
            }
        }
    }

    /// <summary>Counts its size elsewhere from now on.</summary>
    public void CountIn(MemoryGauge gauge)
    {
        _gauge.Add(-(long)_size);
        gauge.Add((long)_size);
        _gauge = gauge;
    }

    public void Dispose()
    {
        NativePages.Unmap(Base, Reserve);
        Memfd.Dispose();
        _gauge.Add(-(long)_size);
    }

    // Where shared memory gets huge pages without being asked (shmem_enabled "always"), fallocate takes one of 2 MiB for a session that needs fifty KiB, and
    // it is cleared at the first touch. None is taken where a small page is already, and this mapping makes small ones. Before 5.14 it stays as it was.
    private static nuint MapNew(SafeMemfd memfd)
    {
        Linux.Memfd.Truncate(memfd, PageSize.Base);
        nuint address = Map(memfd);
        _ = NativePages.Advise(address, (ulong)PageSize.Base, MemoryAdvice.PopulateWrite);
        return address;
    }

    private static nuint Map(SafeMemfd memfd)
    {
        nuint address = NativePages.MapShared(memfd, 0, Reserve, writable: true);
        _ = NativePages.Advise(address, Reserve, MemoryAdvice.NoHugePage);
        return address;
    }

    private static ulong SizeOf(int kind) => kind == SmallKind ? StateLayout.SmallBlock : (ulong)StateLayout.LargeBlock;

    private void CheckHeader()
    {
        if (NativePages.At<ulong>(Base + StateLayout.BaseOfMagic) != StateLayout.Magic || NativePages.At<uint>(Base + StateLayout.BaseOfFixedCheck) != FixedCheck())
        {
            throw new CorruptStateException("the state memory's header does not check");
        }

        uint version = NativePages.At<uint>(Base + StateLayout.BaseOfVersion);
        if (version is 0 or > StateLayout.Version)
        {
            throw new CorruptStateException($"the state memory has layout {version}, this build reads layouts up to {StateLayout.Version}: go back to the newer build");
        }

        uint pageBytes = NativePages.At<uint>(Base + StateLayout.BaseOfPageBytes);
        if (pageBytes != (uint)PageSize.Base)
        {
            throw new CorruptStateException($"the state memory was written for pages of {pageBytes} bytes");
        }
    }

    private uint FixedCheck() => StateChecks.Crc(NativePages.AsSpan(Base, StateLayout.FixedBytes));

    private bool TryGrow()
    {
        ulong chunk = Math.Min(Math.Clamp(_size, FirstChunk, LargestChunk), Reserve - _size);
        if (chunk < StateLayout.LargeBlock || FileIo.Fallocate(Memfd, FallocateMode.Allocate, (long)_size, (long)chunk) != Errno.OK)
        {
            return false;
        }

        _size += chunk;
        _gauge.Add((long)chunk);
        return true;
    }
}
