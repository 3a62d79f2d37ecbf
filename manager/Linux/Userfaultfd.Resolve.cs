namespace UffdManager.Linux;

/// <content>
/// The fault path: no allocation, no marshalling, EINTR never returned. Common results: EEXIST the page is there (this does not wake
/// anybody; on hugetlb it also means an empty pool), EAGAIN with progress a partial result, EAGAIN without progress an event that is
/// unread or whose thread has not run yet, ENOENT not registered, unmapped or across a mapping's border, ESRCH the process is gone.
/// </content>
public static unsafe partial class Userfaultfd
{
    /// <summary>UFFDIO_COPY: installs a copy of <paramref name="src"/> (this process; any alignment) at <paramref name="dst"/>. Heals a
    /// poisoned page. EFAULT: the source cannot be read.</summary>
    public static UffdResult Copy(FdLease uffd, ulong dst, nuint src, ulong length, UffdCopyModes mode)
    {
        UffdCopyArgument argument = new() { Destination = dst, Source = src, Length = length, Mode = (ulong)mode };
        Errno errno = Call(uffd.Fd, UffdRequest.Copy, &argument);
        return Result(errno, argument.Done);
    }

    /// <summary>UFFDIO_ZEROPAGE: maps the zero page. EINVAL on hugetlb, where a buffer of zeroes is copied instead.</summary>
    public static UffdResult ZeroPage(FdLease uffd, ulong start, ulong length, bool dontWake = false) =>
        Fill(uffd, UffdRequest.ZeroPage, start, length, dontWake ? UffdRequest.ZeroPageDontWake : 0);

    /// <summary>UFFDIO_CONTINUE: maps what the page cache holds. EFAULT: it holds nothing there.</summary>
    public static UffdResult Continue(FdLease uffd, ulong start, ulong length, UffdCopyModes mode) =>
        Fill(uffd, UffdRequest.Continue, start, length, (ulong)mode);

    /// <summary>UFFDIO_POISON (6.6): every access raises SIGBUS until the page is copied over or discarded.</summary>
    public static UffdResult Poison(FdLease uffd, ulong start, ulong length, bool dontWake = false) =>
        Fill(uffd, UffdRequest.Poison, start, length, dontWake ? UffdRequest.PoisonDontWake : 0);

    /// <summary>UFFDIO_MOVE (6.8): moves anonymous pages within the creator's memory. EINVAL from any other process.</summary>
    public static UffdResult Move(FdLease uffd, ulong dst, ulong src, ulong length, UffdMoveModes mode)
    {
        UffdCopyArgument argument = new() { Destination = dst, Source = src, Length = length, Mode = (ulong)mode };
        Errno errno = Call(uffd.Fd, UffdRequest.Move, &argument);
        return Result(errno, argument.Done);
    }

    /// <summary>UFFDIO_WRITEPROTECT: protects, or unprotects and wakes. The kernel refuses dontWake together with protect (EINVAL).</summary>
    public static Errno WriteProtect(FdLease uffd, ulong start, ulong length, bool protect, bool dontWake = false)
    {
        UffdWriteProtectArgument argument = new()
        {
            Start = start,
            Length = length,
            Mode = (protect ? UffdRequest.WriteProtectProtect : 0) | (dontWake ? UffdRequest.WriteProtectDontWake : 0),
        };
        return Call(uffd.Fd, UffdRequest.WriteProtect, &argument);
    }

    /// <summary>
    /// Wakes every waiter of the address space, wherever it waits; the range need be neither mapped nor registered. The end of the address space differs by
    /// machine (47, 48 or 39 bits), so the usual ones are tried.
    /// </summary>
    /// <returns>EINVAL when none of them is right, or vm.mmap_min_addr lies above 64 KiB.</returns>
    public static Errno WakeAll(FdLease uffd)
    {
        const ulong Lowest = 64 * 1024;
        Errno errno = Errno.EINVAL;
        foreach (ulong end in (ReadOnlySpan<ulong>)[1UL << 48, (1UL << 47) - 4096, 1UL << 47, 1UL << 39])
        {
            errno = Wake(uffd, Lowest, end - Lowest);
            if (errno != Errno.EINVAL)
                break;
        }

        return errno;
    }

    /// <summary>UFFDIO_WAKE: waiters of the range look again; a page still missing is reported anew. OK even when the process is gone.</summary>
    public static Errno Wake(FdLease uffd, ulong start, ulong length)
    {
        UffdRangeArgument argument = new() { Start = start, Length = length };
        return Call(uffd.Fd, UffdRequest.Wake, &argument);
    }

    /// <summary>
    /// True while the address space changes: an event is unread, or its thread has not run on yet. Until then the kernel answers EAGAIN
    /// to everything that fills. Asked by an UFFDIO_ZEROPAGE of nothing: the change is checked before the range.
    /// </summary>
    public static bool IsChanging(FdLease uffd)
    {
        UffdFillArgument argument = default;
        return Call(uffd.Fd, UffdRequest.ZeroPage, &argument) == Errno.EAGAIN;
    }

    /// <summary>
    /// True when the process whose memory this is has exited or called execve. False is no proof of life while
    /// <see cref="IsChanging"/>. Asked by an UFFDIO_COPY from an unreadable page, which changes nothing wherever it points.
    /// </summary>
    public static bool IsOwnerGone(FdLease uffd)
    {
        ulong page = (ulong)Environment.SystemPageSize;
        UffdCopyArgument argument = new() { Destination = ProbeAddress, Source = UnreadablePage.Address, Length = page };
        return Call(uffd.Fd, UffdRequest.Copy, &argument) == Errno.ESRCH;
    }

    /// <summary>
    /// Asks what the kernel would say to a fill of this length, by an UFFDIO_COPY from unreadable memory, which changes nothing: EINVAL when the
    /// range is not made of whole pages of the mapping.
    /// </summary>
    public static Errno ProbeFill(FdLease uffd, ulong start, ulong length)
    {
        UffdCopyArgument argument = new() { Destination = start, Source = UnreadablePage.Address, Length = length };
        return Call(uffd.Fd, UffdRequest.Copy, &argument);
    }

    // Above any vm.mmap_min_addr in use and aligned for every page size; it does not matter what is mapped there.
    private const ulong ProbeAddress = 0x4000_0000;

    private static UffdResult Fill(FdLease uffd, uint request, ulong start, ulong length, ulong mode)
    {
        UffdFillArgument argument = new() { Start = start, Length = length, Mode = mode };
        Errno errno = Call(uffd.Fd, request, &argument);
        return Result(errno, argument.Done);
    }

    // The out field holds the bytes done or a negative errno, depending on where the kernel gave up.
    private static UffdResult Result(Errno errno, long done) => new(errno, done > 0 ? done : 0);

    private static class UnreadablePage
    {
        public static readonly nuint Address = NativePages.Map((ulong)Environment.SystemPageSize, PageProtection.None);
    }
}
