using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Snapshots;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>Memory that a client maps over in the middle of a mapping, after that was looked at and before its range is registered for write protection: it stays zeros.</summary>
public sealed class HoleMeanwhileTests : SnapshotTest
{
    private const ulong Length = 64 * Page;
    private const ulong Hole = 24 * Page;
    private const ulong HoleLength = 8 * Page;
    private const UffdFeatures WithMarks = UffdFeatures.EventRemove | UffdFeatures.PagefaultFlagWp | UffdFeatures.WpUnpopulated;
    private const UffdFeatures Asynchronous = WithMarks | UffdFeatures.WpAsync;

    [SkippableTheory]
    [InlineData(UffdFeatures.EventRemove)]
    [InlineData(WithMarks)]
    [InlineData(Asynchronous)]
    public void Tracking_does_not_make_it_show_its_source(UffdFeatures features)
    {
        (ServedClient it, ulong at, byte[] contents) = Served(features);
        EngineResult first = Meanwhile(it, at, () => Engine.StartTrackingAsync(it.Session));
        if (first.Error is not null)
        {
            Assert.Equal(Errno.ENOENT, first.Error.Errno);
            Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        }

        AssertHolds(it, at, contents);
        it.Client.WriteByte(at + Hole, 1);
        it.Client.WriteByte(at + Hole + HoleLength, 1);
        List(it);
        it.Client.WriteByte(at + Hole, 2);
        Assert.Equal([new DirtyRun(at + Hole, Page, Page)], List(it));
    }

    [SkippableTheory]
    [InlineData(UffdFeatures.EventRemove)]
    [InlineData(WithMarks)]
    public void Snapshot_has_zeros_there_or_fails(UffdFeatures features)
    {
        (ServedClient it, ulong at, byte[] contents) = Served(features);
        RunningSnapshot? snapshot = null;
        SnapshotReport report = Meanwhile(it, at, () => (snapshot = Begin(it)).Task);
        snapshot!.Output.Dispose();
        Assert.True(report.Error is not null || contents.AsSpan().SequenceEqual(File.ReadAllBytes(snapshot.Path)), "the image has what the client has not");
        Assert.Equal(contents, Take(it));
        AssertHolds(it, at, contents);
    }

    private (ServedClient It, ulong At, byte[] Contents) Served(UffdFeatures features)
    {
        ServedClient it = ServeStock(features);
        ulong at = it.MapRegistered(Length, RandomFile((long)Length, 5, out byte[] contents));
        contents.AsSpan((int)Hole, (int)HoleLength).Clear();
        return (it, at, contents);
    }

    private static T Meanwhile<T>(ServedClient it, ulong at, Func<Task<T>> begin)
    {
        Task<T> work;
        using (new HeldLoop(it.Session))
        {
            work = begin();
            it.Client.Run($"mapfixed {at + Hole} {HoleLength}");
        }

        return work.Finish();
    }

    private static void AssertHolds(ServedClient it, ulong at, ReadOnlySpan<byte> contents)
    {
        for (int page = 0; page < contents.Length; page += (int)Page)
        {
            // Random pages: the first byte may be zero by chance, not sixteen.
            for (int index = page; index < page + 16; index++)
                Assert.Equal(contents[index], it.Client.ReadByte(at + (ulong)index));
        }
    }

    private static IReadOnlyList<DirtyRun> List(ServedClient it)
    {
        DirtyPages dirty = FaultEngine.DirtyPagesAsync(it.Session, 0, 10_000, reset: true).Finish();
        Assert.Null(dirty.Error);
        return dirty.Runs;
    }
}
