using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>statx(2), whose structure is the same on every architecture, unlike that of stat(2).</content>
public static unsafe partial class FileIo
{
    [CName("STATX_BASIC_STATS")] private const uint BasicStats = 0x7FF;
    [CName("AT_SYMLINK_NOFOLLOW")] private const int AtSymlinkNoFollow = 0x100;

    private static Errno TryStat(int directory, string path, int flags, out FileStatus status)
    {
        StatxBuffer buffer;
        int result = Statx(directory, path, flags, BasicStats, &buffer);
        status = result < 0
            ? default
            : new FileStatus(
                (long)buffer.Size,
                buffer.Mode,
                buffer.DeviceMajor,
                buffer.DeviceMinor,
                buffer.Inode,
                buffer.Uid,
                buffer.Gid,
                (long)buffer.Blocks,
                buffer.BlockSize,
                (buffer.ModifiedSeconds * 1_000_000_000) + buffer.ModifiedNanoseconds);
        return result < 0 ? LastError.Get() : Errno.OK;
    }

    [LibraryImport(Libc.Name, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint mask, StatxBuffer* buffer);
}

/// <summary>struct statx, the members in use.</summary>
[CName("struct statx")]
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct StatxBuffer
{
    [FieldOffset(0x04)][CName("stx_blksize")] public uint BlockSize;
    [FieldOffset(0x14)][CName("stx_uid")] public uint Uid;
    [FieldOffset(0x18)][CName("stx_gid")] public uint Gid;
    [FieldOffset(0x1C)][CName("stx_mode")] public ushort Mode;
    [FieldOffset(0x20)][CName("stx_ino")] public ulong Inode;
    [FieldOffset(0x28)][CName("stx_size")] public ulong Size;
    [FieldOffset(0x30)][CName("stx_blocks")] public ulong Blocks;
    [FieldOffset(0x70)][CName("stx_mtime.tv_sec")] public long ModifiedSeconds;
    [FieldOffset(0x78)][CName("stx_mtime.tv_nsec")] public uint ModifiedNanoseconds;
    [FieldOffset(0x88)][CName("stx_dev_major")] public uint DeviceMajor;
    [FieldOffset(0x8C)][CName("stx_dev_minor")] public uint DeviceMinor;
}
