using UffdManager.Engine;
using UffdManager.Linux;

namespace UffdManager.Daemon.LiveSnapshots;

/// <summary>Tells ends apart.</summary>
internal static class LiveSnapshotEnds
{
    /// <param name="error">Null for an image.</param>
    /// <param name="isTaken">Whether the instant had come.</param>
    /// <param name="isCancelled">Whether it was asked to end.</param>
    public static LiveSnapshotEnd Of(EngineError? error, bool isTaken, bool isCancelled) => error switch
    {
        null => LiveSnapshotEnd.Written,
        { Errno: Errno.ESHUTDOWN } => LiveSnapshotEnd.Cancelled,
        { Errno: Errno.ECANCELED } => isCancelled ? LiveSnapshotEnd.Cancelled : LiveSnapshotEnd.MemoryChanged,
        { Errno: Errno.ESRCH } => LiveSnapshotEnd.ClientGone,
        { Errno: Errno.ETIMEDOUT } => LiveSnapshotEnd.Stalled,
        { Errno: Errno.ENOSPC or Errno.EDQUOT } => LiveSnapshotEnd.NoSpace,
        { Kind: EngineErrorKind.Source } => LiveSnapshotEnd.SourceFailed,
        _ => isTaken ? LiveSnapshotEnd.Failed : LiveSnapshotEnd.Refused,
    };
}
