using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>
/// Pages of shared memory that are there and cannot be read. Broken memory, or a disk with swap that fails, are not to be had here: the memory of another process stands for it, which says EIO for
/// every address.
/// </summary>
public sealed class ClientMemoryTests : HaltedSnapshotTest
{
    [SkippableTheory]
    [InlineData("memfd-shared", 4096)]
    [InlineData("hugetlb-memfd-shared", 2 << 20)]
    public void Page_that_cannot_be_read_is_not_taken_for_missing(string kind, int pageBytes)
    {
        using HugePages? pool = pageBytes == PageSize.Base ? null : HugePages.AtLeast(8);
        ulong page = (ulong)pageBytes;
        ServedClient it = Serve(policy: Zero);
        (ulong at, int memfd) = it.Client.Map(kind, 8 * page);
        it.Register(at, 8 * page);
        ulong second = it.Client.Run($"mapfd {memfd} {3 * page} {page} 1 3");
        it.Client.Run($"fill {second} {page} 8");

        // Its own reader asks the loop what to read, and so has not come to it.
        ClientProcess other = StartClient();
        using SafeFile unreadable = FileIo.Open($"/proc/{other.Pid}/mem", OpenFlags.ReadOnly);
        (RunningSnapshot running, HeldLoop loop) = BeginHeldAt(it, () => it.Session.Snapshot is { TakenAt: not 0 });
        using (loop)
        {
            loop.Await();
            Snapshot snapshot = it.Session.Snapshot!;
            ClientMemory memory = new(snapshot, unreadable);
            FrozenRegion region = snapshot.Regions.Find(at)!;
            Assert.False(memory.TryFindReadable(region, at, at + (3 * page), out _, out _));
            Assert.True(memory.TryFindReadable(region, at, at + (8 * page), out ulong from, out ulong to));
            Assert.Equal((at + (3 * page), at + (4 * page)), (from, to));
            Assert.Null(snapshot.Failure);
        }

        byte[] wanted = new byte[8 * page];
        wanted.AsSpan(3 * pageBytes, pageBytes).Fill(8);
        Assert.Equal(wanted, running.Finish());
    }
}
