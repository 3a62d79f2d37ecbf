using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Snapshots that end by what nobody foresaw.</summary>
public sealed class UnforeseenTests : SnapshotTest
{
    [Fact]
    public void Snapshot_that_fails_by_an_exception_lets_its_client_go()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(8 * Page);
        it.Client.Run($"fill {at} {8 * Page} 1");
        RunningSnapshot snapshot = Begin(it, Own(new ThrowingSource()));
        SnapshotReport report = snapshot.Report();
        Assert.Equal(Errno.EIO, report.Error!.Errno);
        Assert.Contains(nameof(NotSupportedException), report.Error.Text, StringComparison.Ordinal);
        it.Client.Run($"fill {at} {8 * Page} 2");
        Assert.False(Take(it).AsSpan().ContainsAnyExcept((byte)2));
    }

    // Asked when everything is protected.
    private sealed class ThrowingSource : PageSource
    {
        public override string Description => "a source that throws";

        public override long Length => throw new NotSupportedException("nobody knows how long it is");

        public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page) => throw new NotSupportedException();

        public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page) => throw new NotSupportedException();

        protected override void Close()
        {
        }
    }
}
