using UffdManager.Engine.Tests.Harness;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>A client with pages of two sizes.</summary>
public sealed class MixedPagesTests : SnapshotTest
{
    private const ulong Huge = HugePages.PageSize;

    // More than what is read ahead of a file that stands still.
    private const ulong Small = 6 * Huge;

    [SkippableFact]
    public void Pages_of_two_sizes_that_writers_wait_for_are_saved_side_by_side()
    {
        using HugePages pool = HugePages.AtLeast(2);
        ServedClient it = ServeStock();
        (ulong huge, _) = it.Client.Map("hugetlb", 2 * Huge);
        it.Register(huge, 2 * Huge);
        ulong small = it.MapRegistered(Small);
        Assert.True(small < huge, "the kernel maps downwards");
        it.Client.Run($"fill {small} {Small} 1");
        it.Client.Run($"fill {huge} {Huge} 2");
        it.Client.Run($"fill {huge + Huge} {Huge} 3");

        // The file stands still with what was read first; writers are let go all the same, one after the other.
        ScriptedSource below = Scripted(Small + (2 * Huge));
        below.Hold();
        RunningSnapshot snapshot = Begin(it, below, bufferBytes: 1);
        below.WaitForFetches(1);
        it.Client.WriteByte(small + Small - Page, 9);
        it.Client.WriteByte(huge, 9);
        it.Client.WriteByte(huge + Huge, 9);
        below.Release();

        // Of what the base has by chance there is nothing in the diff.
        byte[] diff = snapshot.Finish();
        Check(diff, below, 0, Small, 1);
        Check(diff, below, Small, Huge, 2);
        Check(diff, below, Small + Huge, Huge, 3);
    }

    private static void Check(byte[] diff, ScriptedSource below, ulong offset, ulong length, byte wanted)
    {
        for (ulong page = offset; page < offset + length; page += Page)
        {
            byte expected = below.ByteOf((long)page) == wanted ? (byte)0 : wanted;
            Assert.True(diff.AsSpan((int)page, (int)Page).IndexOfAnyExcept(expected) < 0, $"the page at {page} of the image is wrong");
        }
    }
}
