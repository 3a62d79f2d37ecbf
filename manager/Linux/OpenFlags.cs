namespace UffdManager.Linux;

/// <summary>Flags of open(2), with the values of x86-64; <see cref="FileIo"/> translates where arm64 differs. O_CLOEXEC is always set.</summary>
[Flags]
public enum OpenFlags
{
    /// <summary>Reading.</summary>
    [CName("O_RDONLY")] ReadOnly = 0,

    /// <summary>Writing.</summary>
    [CName("O_WRONLY")] WriteOnly = 1,

    /// <summary>Both.</summary>
    [CName("O_RDWR")] ReadWrite = 2,

    /// <summary>Create when missing, with mode 0600.</summary>
    [CName("O_CREAT")] Create = 0x40,

    /// <summary>With <see cref="Create"/>: EEXIST when it is there.</summary>
    [CName("O_EXCL")] Exclusive = 0x80,

    /// <summary>Empty it.</summary>
    [CName("O_TRUNC")] Truncate = 0x200,

    /// <summary>Every write goes to the end.</summary>
    [CName("O_APPEND")] Append = 0x400,

    /// <summary>Never wait, not even to open a fifo.</summary>
    [CName("O_NONBLOCK")] NonBlock = 0x800,

    /// <summary>Past the page cache.</summary>
    [CName("O_DIRECT", Architecture = "x86_64")] Direct = 0x4000,

    /// <summary>ENOTDIR unless it is a directory.</summary>
    [CName("O_DIRECTORY", Architecture = "x86_64")] Directory = 0x10000,

    /// <summary>ELOOP when the last component is a symbolic link.</summary>
    [CName("O_NOFOLLOW", Architecture = "x86_64")] NoFollow = 0x20000,

    /// <summary>A place in the tree, not readable; no rights on the file needed.</summary>
    [CName("O_PATH")] Path = 0x200000,
}
