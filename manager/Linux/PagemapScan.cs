namespace UffdManager.Linux;

/// <summary>The PAGEMAP_SCAN ioctl of /proc/PID/pagemap (6.7), which works from any process with ptrace rights.</summary>
public static unsafe class PagemapScan
{
    [CName("PAGEMAP_SCAN")] private const uint Request = 0xC0606610;

    /// <summary>Opens the page map of <paramref name="pid"/>; the caller owns it.</summary>
    /// <exception cref="SyscallException">EACCES without ptrace rights, ENOENT gone.</exception>
    public static SafeFile OpenPagemap(int pid) => FileIo.Open($"/proc/{pid}/pagemap", OpenFlags.ReadOnly);

    /// <summary>Scans; call again from <paramref name="walkEnd"/> while that lies below the end asked for.</summary>
    /// <returns>EPERM with CheckAsync outside asynchronous protection; ENOTTY before 6.7; EINVAL unaligned.</returns>
    public static Errno Scan(SafeFile pagemap, in PagemapScanRequest request, Span<PageRegion> into, out int regions, out ulong walkEnd)
    {
        ArgumentNullException.ThrowIfNull(pagemap);
        using FdLease lease = pagemap.Lease();
        fixed (PageRegion* vector = into)
        {
            PagemapScanArgument argument = new()
            {
                Size = (ulong)sizeof(PagemapScanArgument),
                Flags = (ulong)request.Flags,
                Start = request.Start,
                End = request.End,
                Vector = (ulong)vector,
                VectorLength = (ulong)into.Length,
                MaxPages = request.MaxPages,
                Inverted = (ulong)request.Inverted,
                Required = (ulong)request.Required,
                AnyOf = (ulong)request.AnyOf,
                Returned = (ulong)request.Returned,
            };
            int result;
            do
                result = Libc.Ioctl(lease.Fd, Request, &argument);
            while (LastError.IsInterrupted(result));
            regions = Math.Max(0, result);
            walkEnd = result < 0 ? request.Start : argument.WalkEnd;
            return result < 0 ? LastError.Get() : Errno.OK;
        }
    }
}

/// <summary>struct pm_scan_arg.</summary>
[CName("struct pm_scan_arg")]
internal struct PagemapScanArgument
{
    [CName("size")] public ulong Size;
    [CName("flags")] public ulong Flags;
    [CName("start")] public ulong Start;
    [CName("end")] public ulong End;
    [CName("walk_end")] public ulong WalkEnd;
    [CName("vec")] public ulong Vector;
    [CName("vec_len")] public ulong VectorLength;
    [CName("max_pages")] public ulong MaxPages;
    [CName("category_inverted")] public ulong Inverted;
    [CName("category_mask")] public ulong Required;
    [CName("category_anyof_mask")] public ulong AnyOf;
    [CName("return_mask")] public ulong Returned;
}
