using UffdManager.Engine.Regions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Memory that its own client may not read at the moment: guards, memory that a guest has not plugged in, collectors of garbage.</summary>
public sealed class UnreadableMemoryTests : SnapshotTest
{
    private const ulong Pages = 64;

    [Fact]
    public void Missing_pages_with_marks_are_in_a_snapshot_though_the_client_may_not_read_them()
    {
        ScriptedSource source = Scripted(Pages * Page);
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(Pages * Page, source, modes: UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);
        ulong zeros = it.MapRegistered(Pages * Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);

        // A page that is missing and protected has a mark, which looks as a page in swap does.
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, Pages * Page, protect: true).Finish().Error);
        Assert.Null(Engine.WriteProtectAsync(it.Session, zeros, Pages * Page, protect: true).Finish().Error);
        it.Client.WriteByte(zeros + (3 * Page), 7);
        it.Client.Run($"mprotect {at} {Pages * Page} 0");
        it.Client.Run($"mprotect {zeros} {Pages * Page} 0");
        byte[] wanted = new byte[2 * Pages * Page];
        int first = at < zeros ? 0 : (int)(Pages * Page);
        for (int i = 0; i < (int)(Pages * Page); i++)
            wanted[first + i] = source.ByteOf(i);
        wanted[(int)(Pages * Page) - first + (3 * (int)Page)] = 7;
        Assert.Equal(wanted, Take(it));
        it.Client.Run($"mprotect {at} {Pages * Page} 3");
        it.AssertHolds(at, Pages * Page, source);
    }

    [Theory]
    [InlineData(RegionFlags.None)]
    [InlineData(RegionFlags.RemoveMeansSource)]
    public void Memory_that_was_given_back_is_zeros_and_is_not_filled_for_a_snapshot(RegionFlags flags)
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(Pages * Page, flags == RegionFlags.None ? Scripted(Pages * Page) : null, flags: flags, modes: UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);
        it.Client.Run($"fill {at} {Pages * Page} 7");
        it.Client.Run($"madvise {at + (8 * Page)} {(Pages - 16) * Page} 4");
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, Pages * Page, protect: true).Finish().Error);

        // As a runtime gives up memory that it may want again.
        it.Client.Run($"mprotect {at} {Pages * Page} 0");
        byte[] wanted = new byte[Pages * Page];
        wanted.AsSpan().Fill(7);
        wanted.AsSpan(8 * (int)Page, (int)((Pages - 16) * Page)).Clear();
        Assert.Equal(wanted, Take(it));
        Assert.Equal(16 * (long)Page, it.Status().ResidentBytes);
    }

    // The page table says of none of it that it is there: what has not been touched through this mapping, or was given back there, is in the object all the same.
    [Theory]
    [InlineData(UffdRegisterModes.Minor | UffdRegisterModes.WriteProtect)]
    [InlineData(UffdRegisterModes.Missing | UffdRegisterModes.Minor | UffdRegisterModes.WriteProtect)]
    [InlineData(UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect)]
    public void What_an_object_has_is_in_a_snapshot_though_the_client_may_not_read_it(UffdRegisterModes modes)
    {
        const int Bytes = (int)(Pages * Page);
        bool isFilled = (modes & UffdRegisterModes.Missing) != 0;
        ScriptedSource source = Scripted(Bytes);
        ServedClient it = Serve(policy: Zero);
        (ulong zeros, int ofZeros) = it.Client.Map("memfd-shared", Bytes);
        (ulong at, int ofSource) = it.Client.Map("memfd-shared", Bytes);
        foreach (int memfd in (int[])[ofZeros, ofSource])
            it.Client.Run($"pwrite {memfd} {8 * Page} {40 * Page} 7");
        it.Register(zeros, Bytes, modes: modes);
        it.Register(at, Bytes, source, modes: modes);
        byte[] wanted = new byte[2 * Bytes];
        foreach (ulong start in (ulong[])[zeros, at])
        {
            it.Client.Run($"touch {start + (12 * Page)} {20 * Page} {Page}");

            // Given back through this mapping alone, then out of the object.
            it.Client.Run($"madvise {start + (16 * Page)} {12 * Page} 4");
            it.Client.Run($"madvise {start + (20 * Page)} {2 * Page} 9");
            it.Client.Run($"mprotect {start} {Bytes} 0");
            int first = start == Math.Min(zeros, at) ? 0 : Bytes;
            for (int i = 0; isFilled && start == at && i < Bytes; i++)
                wanted[first + i] = source.ByteOf(i);
            wanted.AsSpan(first + (8 * (int)Page), 40 * (int)Page).Fill(7);
            wanted.AsSpan(first + (20 * (int)Page), 2 * (int)Page).Clear();
        }

        Assert.Equal(wanted, Take(it));
    }
}
