namespace UffdManager.Linux;

/// <summary>What statx(2) tells about an open file.</summary>
/// <param name="Size">Bytes.</param>
/// <param name="Mode">Type and permissions.</param>
/// <param name="DeviceMajor">Device that holds the file, major number.</param>
/// <param name="DeviceMinor">Device that holds the file, minor number.</param>
/// <param name="Inode">Inode number; with the device it names the file.</param>
/// <param name="Uid">Owner.</param>
/// <param name="Gid">Group.</param>
/// <param name="Blocks">Allocated 512-byte blocks.</param>
/// <param name="BlockSize">Preferred size of I/O, bytes; the huge page for hugetlb files.</param>
/// <param name="ModifiedNanoseconds">Last change of the contents, nanoseconds since 1970.</param>
public readonly record struct FileStatus(
    long Size,
    uint Mode,
    uint DeviceMajor,
    uint DeviceMinor,
    ulong Inode,
    uint Uid,
    uint Gid,
    long Blocks,
    uint BlockSize,
    long ModifiedNanoseconds)
{
    [CName("S_IFMT")] internal const uint TypeMask = 0xF000;
    [CName("S_IFREG")] internal const uint Regular = 0x8000;
    [CName("S_IFDIR")] internal const uint DirectoryType = 0x4000;
    [CName("S_IFSOCK")] internal const uint SocketType = 0xC000;

    /// <summary>A regular file (or memfd).</summary>
    public bool IsRegular => (Mode & TypeMask) == Regular;

    /// <summary>A directory.</summary>
    public bool IsDirectory => (Mode & TypeMask) == DirectoryType;

    /// <summary>A socket.</summary>
    public bool IsSocket => (Mode & TypeMask) == SocketType;

    /// <summary>Device number as one value, for comparison only.</summary>
    public ulong Device => ((ulong)DeviceMajor << 32) | DeviceMinor;
}
