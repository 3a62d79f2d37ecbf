namespace UffdManager.Engine.Regions;

/// <summary>What is special about a region.</summary>
[Flags]
public enum RegionFlags
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Every page starts with the session's fork token, a non-zero 64-bit number: how a forked child learns who it is.</summary>
    Mailbox = 1,

    /// <summary>Pages given back by madvise come from the source again, as in a private file mapping, not as zeros.</summary>
    RemoveMeansSource = 2,

    /// <summary>Pages that are filled for a read are installed write-protected, so that the first write is seen. Needs the mode WriteProtect.</summary>
    WriteProtected = 4,

    /// <summary>Every change of contents is noted for the operator who tracks the session. Set and cleared by the engine alone.</summary>
    Tracked = 8,

    /// <summary>What its policy installs ahead of the faults is not complete: a successor goes on with it. Set and cleared by the engine alone.</summary>
    Ahead = 16,
}
