using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>What a source knows to be zeros is not installed ahead: it may be memory that its guest has not plugged in.</summary>
public sealed class HolesAheadTests : WorkingSetTest
{
    private const ulong Huge = HugePages.PageSize;

    // Data at the beginning, across the border of a fetch, a single page, and at the end.
    private static readonly (ulong Start, ulong Length)[] s_data = [(0, MiB), ((3 * MiB) - (256 * 1024), 512 * 1024), (5 * MiB, Page), ((8 * MiB) - Page, Page)];

    private static Policy Full { get; } = Named with { Prefetch = new PrefetchPolicy { Mode = PrefetchMode.Full } };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Holes_of_a_file_are_left_to_their_faults(bool isLayered)
    {
        PageSource source = Sparse(s_data, isLayered, out byte[] contents);
        ServedClient it = Serve(policy: Full);
        ulong at = it.MapRegistered(Image, source);
        WaitForEndOfJobs(it);
        Assert.Equal(s_data.Sum(data => (long)data.Length), it.Status().ResidentBytes);
        Assert.Equal(0, it.Status().Faults);
        Assert.Equal(ClientProcess.Hash(contents), it.Client.HashRange(at, Image));
        Assert.Equal(contents.LongLength, it.Status().ResidentBytes);
        Assert.Equal(0, Alice.Usage.PagesInFlight);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Who_asks_for_every_page_gets_the_holes_too(bool isLayered)
    {
        PageSource source = Sparse(s_data, isLayered, out byte[] contents);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Image, source);
        Assert.Null(Engine.PrefetchAsync(it.Session, at, Image).Finish().Error);
        Assert.Equal((long)Image, it.Status().ResidentBytes);
        Assert.Equal(ClientProcess.Hash(contents), it.Client.HashRange(at, Image));
        Assert.Equal(0, it.Status().Faults);
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void Huge_page_is_left_out_when_all_of_it_is_a_hole(bool isLayered)
    {
        using HugePages pool = HugePages.AtLeast(4);
        PageSource source = Sparse([((2 * Huge) - Page, 2 * Page)], isLayered, out byte[] contents);
        ServedClient it = Serve(policy: Full);
        (ulong at, _) = it.Client.Map("hugetlb", 4 * Huge);
        it.Register(at, 4 * Huge, source);
        WaitForEndOfJobs(it);
        Assert.Equal(2 * (long)Huge, it.Status().ResidentBytes);
        Assert.Equal(ClientProcess.Hash(contents), it.Client.HashRange(at, 4 * Huge));
        Assert.Equal(2, it.Status().Faults);
    }

    [Fact]
    public void Who_came_to_wait_for_a_page_that_is_left_out_gets_it()
    {
        ScriptedSource source = Scripted(4 * MiB);
        source.Data = (offset, length) => offset < (long)(2 * MiB) ? (offset + length, offset + length) : (offset + (64 * (long)Page), offset + length);
        source.Hold();
        ServedClient it = Serve(policy: Full);
        ulong at = it.MapRegistered(4 * MiB, source);
        source.WaitForFetches(3);
        PendingReply whole = it.Client.Begin($"read {at + (5 * Page)}", 1);
        PendingReply part = it.Client.Begin($"read {at + (2 * MiB) + (5 * Page)}", 2);
        PendingReply data = it.Client.Begin($"read {at + (2 * MiB) + (100 * Page)}", 3);
        Eventually.True(() => it.Status().Faults == 3, "the faults");
        source.Release();
        Assert.Equal((ulong)source.ByteOf(5 * (long)Page), whole.AwaitValue());
        Assert.Equal((ulong)source.ByteOf((long)((2 * MiB) + (5 * Page))), part.AwaitValue());
        Assert.Equal((ulong)source.ByteOf((long)((2 * MiB) + (100 * Page))), data.AwaitValue());
        WaitForEndOfJobs(it);
        it.AssertHolds(at, 4 * MiB, source);
    }

    [Fact]
    public void Client_that_dies_while_holes_are_looked_for_leaves_nothing_behind()
    {
        ScriptedSource source = Scripted(4 * MiB);
        source.Data = (offset, length) => (offset + (16 * (long)Page), offset + length);
        source.Hold();
        ServedClient it = Serve(policy: Full);
        it.MapRegistered(4 * MiB, source);
        source.WaitForFetches(2);
        it.Client.Kill();
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of the session");
        source.Release();
        Eventually.True(() => Alice.Usage is { Fetches: 0, PagesInFlight: 0 }, "the end of the fetches");
    }

    [Fact]
    public void Source_that_fails_behind_a_hole_is_tried_again_from_there()
    {
        ScriptedSource source = Scripted(MiB);
        source.Data = (offset, length) => (Math.Max(offset, 64 * (long)Page), offset + length);
        source.Hold();
        ServedClient it = Serve(policy: Full);
        ulong at = it.MapRegistered(MiB, source);
        source.WaitForFetches(1);
        PendingReply read = it.Client.Begin($"read {at + (100 * Page)}", 1);
        Eventually.True(() => it.Status().Faults == 1, "the fault");
        source.FailNext(2);
        source.Release();
        Assert.Equal((ulong)source.ByteOf(100 * (long)Page), read.AwaitValue());
        it.AssertHolds(at, MiB, source);
        Assert.Equal(0, Alice.Usage.PagesInFlight);
    }

    private PageSource Sparse((ulong Start, ulong Length)[] data, bool isLayered, out byte[] contents)
    {
        contents = new byte[Image];
        string path = Temp.Combine($"sparse-{isLayered}");
        using (FileStream file = File.Create(path))
        {
            file.SetLength((long)Image);
            foreach ((ulong start, ulong length) in data)
            {
                Random.Shared.NextBytes(contents.AsSpan((int)start, (int)length));
                file.Position = (long)start;
                file.Write(contents, (int)start, (int)length);
            }
        }

        return isLayered
            ? Own(new LayeredSource([new ImageLayer(FileIo.Open(path, OpenFlags.ReadOnly), path, isDirect: false)], (int)Page, new ChunkCache(1 << 30), path))
            : Own(new FileSource(FileIo.Open(path, OpenFlags.ReadOnly), path));
    }
}
