namespace UffdManager.Daemon.Configuration;

/// <summary>How the text of a setting is read.</summary>
internal enum SettingKind
{
    Text,
    AbsolutePath,
    Integer,

    /// <summary>Bytes: a number, or one with B, KiB, MiB, GiB or TiB.</summary>
    Size,

    /// <summary>A number with us, ms, s, m or h, or hh:mm:ss.</summary>
    Duration,
    Boolean,

    /// <summary>One of a closed set of words.</summary>
    Choice,

    /// <summary>Octal permission bits.</summary>
    Mode,
    TextList,
    PathList,
    IdList,
}
