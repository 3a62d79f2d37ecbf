using UffdManager.Engine.Policies;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>Who reads forward is served ahead of its faults; who jumps about is not.</summary>
public sealed class SequentialTests : EngineTest
{
    private static Policy Sequential { get; } = Named with { Prefetch = new PrefetchPolicy { Mode = PrefetchMode.Sequential } };

    [Fact]
    public void Who_reads_forward_faults_a_few_times_for_many_pages()
    {
        (ServedClient it, ulong at, ScriptedSource source) = ServeForward(4 * MiB, inMemory: true);
        it.AssertHolds(at, 4 * MiB, source);
        Assert.InRange(it.Status().Faults, 16, 40);
    }

    [Fact]
    public void Slow_source_is_read_ahead_as_well()
    {
        (ServedClient it, ulong at, ScriptedSource source) = ServeForward(1 * MiB);
        it.AssertHolds(at, 1 * MiB, source);
        Assert.InRange(it.Status().Faults, 4, 20);
    }

    [Fact]
    public void Who_jumps_about_gets_the_page_alone()
    {
        (ServedClient it, ulong at, ScriptedSource source) = ServeForward(4 * MiB, inMemory: true);
        ulong[] pages = [.. Enumerable.Range(0, 300).Select(i => (ulong)(i * 389 % 1024)).Distinct()];
        foreach (ulong page in pages)
            it.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
        Assert.InRange(it.Status().ResidentBytes, pages.Length * (long)Page, pages.Length * (long)Page * 11 / 10);
    }

    [Fact]
    public void Window_ahead_ends_where_a_block_of_memory_does_that_may_not_be_plugged_in()
    {
        (ServedClient it, ulong at, ScriptedSource source) = ServeForward(8 * MiB, inMemory: true);
        it.AssertHolds(at + MiB, MiB, source, (long)MiB);
        Assert.Equal((long)MiB, it.Status().ResidentBytes);
        it.AssertHolds(at + (2 * MiB), Page, source, 2 * (long)MiB);
        Assert.InRange(it.Status().ResidentBytes, (long)(MiB + (16 * Page)), 2 * (long)MiB);
    }

    [Fact]
    public void Two_threads_that_read_forward_are_two_streams()
    {
        (ServedClient it, ulong at, ScriptedSource source) = ServeForward(4 * MiB, inMemory: true);
        for (ulong offset = 0; offset < MiB; offset += Page)
        {
            it.AssertHolds(at + offset, Page, source, (long)offset, thread: 1);
            it.AssertHolds(at + (2 * MiB) + offset, Page, source, (long)((2 * MiB) + offset), thread: 2);
        }

        Assert.InRange(it.Status().Faults, 10, 40);
    }

    [Fact]
    public void Page_that_was_given_back_ends_the_window_before_it()
    {
        (ServedClient it, ulong at, ScriptedSource source) = ServeForward(1 * MiB, inMemory: true);
        it.Client.Run($"madvise {at + (20 * Page)} {4 * Page} 4");
        it.AssertHolds(at, 20 * Page, source);
        it.AssertZero(at + (20 * Page), 4 * Page);
        it.AssertHolds(at + (24 * Page), (256 - 24) * Page, source, 24 * (long)Page);
    }

    [Fact]
    public void Streams_grow_to_their_limit_and_begin_anew_elsewhere()
    {
        SequentialStreams streams = new();
        ulong page = 1 << 20;
        Assert.Equal(0UL, streams.WindowAt(page));
        streams.Installed(page += 4096);
        for (ulong window = SequentialStreams.FirstWindow; window < SequentialStreams.MaximumWindow; window *= 2)
        {
            Assert.Equal(window, streams.WindowAt(page));
            streams.Installed(page += window);
        }

        Assert.Equal(SequentialStreams.MaximumWindow, streams.WindowAt(page));
        streams.Installed(page += SequentialStreams.MaximumWindow);
        Assert.Equal(SequentialStreams.MaximumWindow, streams.WindowAt(page));
        Assert.Equal(0UL, streams.WindowAt(page + (1 << 30)));
    }

    private (ServedClient It, ulong At, ScriptedSource Source) ServeForward(ulong length, bool inMemory = false)
    {
        ScriptedSource source = Scripted(length);
        source.InMemory = inMemory;
        ServedClient it = Serve(policy: Sequential);
        return (it, it.MapRegistered(length, source), source);
    }
}
