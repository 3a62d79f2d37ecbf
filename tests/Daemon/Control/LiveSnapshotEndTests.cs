using UffdManager.Daemon.LiveSnapshots;
using UffdManager.Engine;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>By what label the end of a snapshot is counted.</summary>
public sealed class LiveSnapshotEndTests
{
    [Theory]
    [InlineData(EngineErrorKind.State, Errno.ECANCELED, true, true, nameof(LiveSnapshotEnd.Cancelled))]
    [InlineData(EngineErrorKind.State, Errno.ECANCELED, true, false, nameof(LiveSnapshotEnd.MemoryChanged))]
    [InlineData(EngineErrorKind.State, Errno.ESHUTDOWN, true, false, nameof(LiveSnapshotEnd.Cancelled))]
    [InlineData(EngineErrorKind.State, Errno.ESRCH, false, false, nameof(LiveSnapshotEnd.ClientGone))]
    [InlineData(EngineErrorKind.State, Errno.ETIMEDOUT, true, false, nameof(LiveSnapshotEnd.Stalled))]
    [InlineData(EngineErrorKind.Kernel, Errno.ENOSPC, true, false, nameof(LiveSnapshotEnd.NoSpace))]
    [InlineData(EngineErrorKind.Source, Errno.EIO, true, false, nameof(LiveSnapshotEnd.SourceFailed))]
    [InlineData(EngineErrorKind.Kernel, Errno.EOPNOTSUPP, false, false, nameof(LiveSnapshotEnd.Refused))]
    [InlineData(EngineErrorKind.Kernel, Errno.EIO, true, false, nameof(LiveSnapshotEnd.Failed))]
    public void End_is_told_by_its_reason(EngineErrorKind kind, Errno errno, bool isTaken, bool isCancelled, string end) =>
        Assert.Equal(end, LiveSnapshotEnds.Of(new EngineError(kind, errno, "text"), isTaken, isCancelled).ToString());

    [Fact]
    public void Without_an_error_the_image_is_written() => Assert.Equal(LiveSnapshotEnd.Written, LiveSnapshotEnds.Of(null, isTaken: true, isCancelled: false));
}
