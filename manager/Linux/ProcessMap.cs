using System.Buffers;
using System.Buffers.Text;

namespace UffdManager.Linux;

/// <summary>
/// Single mappings of a process, from /proc/PID/maps, which unlike smaps walks no page tables: by PROCMAP_QUERY (6.11), which costs as much for a
/// process with one mapping as for one with many, and by its text on kernels that lack it.
/// </summary>
/// <remarks>proc_pid_maps(5); Documentation/filesystems/proc.rst.</remarks>
public static unsafe class ProcessMap
{
    [CName("PROCMAP_QUERY")] private const uint Query = 0xC0686611;

    // A line is an address range, four short fields and a path of up to PATH_MAX.
    private const int BufferBytes = 16 * 1024;

    /// <summary>Finds the mapping that holds an address.</summary>
    /// <returns>
    /// OK; ENOENT when nothing is mapped there, or the process is gone (its number may be unknown, or its memory given back); EACCES or EPERM when
    /// it may not be looked at; EMFILE, ENFILE, ENOMEM and others when it cannot be told now.
    /// </returns>
    public static Errno Find(int pid, ulong address, out ulong start, out ulong end)
    {
        (start, end) = (0, 0);
        using SafeFile? maps = FileIo.TryOpen($"/proc/{pid}/maps", OpenFlags.ReadOnly, out Errno errno);
        if (maps is not null)
        {
            errno = Ask(maps, address, out start, out end);
            if (errno == Errno.ENOTTY)
                errno = FindInText(maps, address, out start, out end);
        }

        return errno == Errno.ESRCH ? Errno.ENOENT : errno;
    }

    /// <summary>Reads on in the text until the address is reached or passed.</summary>
    internal static Errno FindInText(SafeFile maps, ulong address, out ulong start, out ulong end)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            (int held, long offset) = (0, 0);
            while (true)
            {
                Errno errno = FileIo.Read(maps, buffer.AsSpan(held), offset, out int count);
                if (errno != Errno.OK || count == 0)
                {
                    (start, end) = (0, 0);
                    return errno == Errno.OK ? Errno.ENOENT : errno;
                }

                offset += count;
                ReadOnlySpan<byte> text = buffer.AsSpan(0, held + count);
                if (TryLines(ref text, address, out bool isFound, out start, out end))
                    return isFound ? Errno.OK : Errno.ENOENT;
                held = text.Length;
                text.CopyTo(buffer);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    // Takes whole lines off the text; true when one of them decides. They are in ascending order.
    private static bool TryLines(ref ReadOnlySpan<byte> text, ulong address, out bool isFound, out ulong start, out ulong end)
    {
        (start, end, isFound) = (0, 0, false);
        while (text.IndexOf((byte)'\n') is int length and >= 0)
        {
            ReadOnlySpan<byte> line = text[..length];
            text = text[(length + 1)..];
            if (!Utf8Parser.TryParse(line, out start, out int dash, 'x') || !Utf8Parser.TryParse(line[(dash + 1)..], out end, out _, 'x'))
                continue;
            if (address < end)
            {
                isFound = address >= start;
                return true;
            }
        }

        return false;
    }

    private static Errno Ask(SafeFile maps, ulong address, out ulong start, out ulong end)
    {
        using FdLease lease = maps.Lease();
        ProcessMapQuery query = new() { Size = (ulong)sizeof(ProcessMapQuery), Address = address };
        int result;
        do
            result = Libc.Ioctl(lease.Fd, Query, &query);
        while (LastError.IsInterrupted(result));
        (start, end) = result < 0 ? (0, 0) : (query.Start, query.End);
        return result < 0 ? LastError.Get() : Errno.OK;
    }
}

/// <summary>struct procmap_query.</summary>
[CName("struct procmap_query")]
internal struct ProcessMapQuery
{
    [CName("size")] public ulong Size;
    [CName("query_flags")] public ulong Flags;
    [CName("query_addr")] public ulong Address;
    [CName("vma_start")] public ulong Start;
    [CName("vma_end")] public ulong End;
    [CName("vma_flags")] public ulong MappingFlags;
    [CName("vma_page_size")] public ulong PageSize;
    [CName("vma_offset")] public ulong Offset;
    [CName("inode")] public ulong Inode;
    [CName("dev_major")] public uint DeviceMajor;
    [CName("dev_minor")] public uint DeviceMinor;
    [CName("vma_name_size")] public uint NameSize;
    [CName("build_id_size")] public uint BuildIdSize;
    [CName("vma_name_addr")] public ulong NameAddress;
    [CName("build_id_addr")] public ulong BuildIdAddress;
}
