using System.Globalization;
using UffdManager.Engine.Images;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Images;
using UffdManager.Engine.Tests.WorkingSets;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Pitfalls;

/// <summary>
/// A collection of garbage stops every fault loop, and with them every guest. So the way of a fault allocates nothing: thousands of each kind are served, and the loop's own account of what it has allocated is the
/// same as before.
/// </summary>
public sealed class AllocationTests : ImageTest
{
    private const ulong Pages = 512 + (Shares * 1536);
    private const ulong Length = Pages * Page;
    private const ulong Shares = 3;
    private const UffdRegisterModes Both = UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect;

    // What is done once is done in the first pages: buffers that grow, leaves of page tables.
    private const ulong Warming = 512 * Page;

    private readonly MemoryTraceStore _traces = new();

    private static Policy Recording { get; } = Named with
    {
        Name = "recording",
        Prefetch = new PrefetchPolicy { Mode = PrefetchMode.Replay, RecordTime = TimeSpan.FromHours(1), MaximumTime = TimeSpan.FromHours(1) },
    };

    // Nothing but what the test wants is done meanwhile.
    public AllocationTests() => Options = Options with { FaultLoops = 1, FetchThreads = 1, LivenessSweep = TimeSpan.FromHours(1), TraceStore = _traces };

    [Theory]
    [InlineData("touch {0} {1}")]
    [InlineData("fill {0} {1} 1")]
    public void Zeros_allocate_nothing(string access)
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(Length);
        AssertNothingAllocated(it, FaultKind.Missing, access, at);
    }

    [Theory]
    [InlineData(4096, "touch {0} {1}")]
    [InlineData(4096, "fill {0} {1} 1")]
    [InlineData(16384, "touch {0} {1}")]
    public void Pages_out_of_the_cache_allocate_nothing_while_they_are_recorded(int around, string access)
    {
        LayeredSource source = Random((int)Pages, 3, CacheOf((int)(Length / (ulong)Chunk)), out _, out _);
        Assert.Equal(Errno.OK, source.Warm(0, (long)Length, _ => true));
        ServedClient it = Serve(policy: Recording with { FaultAroundBytes = around });
        ulong at = it.MapRegistered(Length, source);
        AssertNothingAllocated(it, FaultKind.Missing, access, at, (ulong)around / Page);
        Assert.Equal((long)(Length / (ulong)around), it.Session.Runs[0].Touches.Count);
    }

    [Fact]
    public void Pages_of_a_file_that_are_in_memory_allocate_nothing_while_they_are_recorded()
    {
        FileSource file = RandomFile((long)Length, 5, out _);
        ServedClient it = Serve(policy: Recording);
        ulong at = it.MapRegistered(Length, file);
        AssertNothingAllocated(it, FaultKind.Missing, "touch {0} {1}", at);
        Assert.Equal((long)Pages, it.Session.Runs[0].Touches.Count);
    }

    [Fact]
    public void Pages_of_a_slow_source_allocate_nothing()
    {
        ScriptedSource source = Scripted(Length);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Length, source);
        AssertNothingAllocated(it, FaultKind.Missing, "touch {0} {1}", at);
        Assert.Equal((int)Pages, source.Entered);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Pages_of_a_shared_image_allocate_nothing_filled_or_not(bool isFilled)
    {
        ScriptedSource source = Scripted(Length);
        source.InMemory = true;
        source.KnownAs = new SourceIdentity(1, 2, (long)Length, 3);
        using SharedImage image = SharedImage.Create(source, 0, (long)Length, writable: false, "test");
        if (isFilled)
        {
            ServedClient other = Serve(Bob);
            other.Client.Run($"touch {Map(other, image)} {Length}");
        }

        ServedClient it = Serve(policy: Recording);
        AssertNothingAllocated(it, isFilled ? FaultKind.Minor : FaultKind.Missing, "touch {0} {1}", Map(it, image));
        Assert.Equal((long)Pages, it.Session.Runs[0].Touches.Count);
    }

    [Fact]
    public void Pages_of_an_image_that_is_mapped_allocate_nothing_and_those_of_its_clones_neither()
    {
        LayeredSource source = Random((int)Pages, 3, CacheOf((int)(Length / (ulong)Chunk)), out _, out _);
        Assert.Equal(Errno.OK, source.Warm(0, (long)Length, _ => true));
        using SharedImage image = SharedImage.Create(source, 0, (long)Length, writable: false, "test");
        ServedClient it = Serve(policy: Recording);
        AssertNothingAllocated(it, FaultKind.Missing, "touch {0} {1}", Map(it, image));
        ServedClient clone = Serve(Bob);
        AssertNothingAllocated(clone, FaultKind.Missing, "touch {0} {1}", clone.MapRegistered(Length, source));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Writes_of_protected_pages_allocate_nothing(bool isTracked)
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(Length, modes: isTracked ? UffdRegisterModes.Missing : Both);
        it.Client.Run($"fill {at} {Length} 1");
        Assert.Null((isTracked ? Engine.StartTrackingAsync(it.Session) : Engine.WriteProtectAsync(it.Session, at, Length, protect: true)).Finish().Error);
        AssertNothingAllocated(it, FaultKind.WriteProtect, "fill {0} {1} 2", at);
    }

    [Fact]
    public void Memory_that_is_given_back_and_touched_again_allocates_nothing()
    {
        const int Rounds = 1000;
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Length, RandomFile((long)Length, 5, out _));
        it.Client.Run($"touch {at} {Length}");
        Storm(it, at, 200);
        long[] allocated = new long[Shares];
        for (ulong share = 0; share < Shares; share++)
        {
            long before = Allocated(it);
            Storm(it, at, Rounds);
            allocated[share] = Allocated(it) - before;
        }

        Assert.Contains(0, allocated);
        Assert.True(CountersOf(Alice).Events(EventKind.Remove) >= Rounds);
    }

    // Each page is touched once: a fault each, or one for so many. What the runtime itself allocates once, when it first meets a lock that is held, is in one share; what faults allocate is in all of them, as each
    // is longer than a piece of a log of touches.
    private void AssertNothingAllocated(ServedClient it, FaultKind kind, string access, ulong at, ulong pagesOfOne = 1)
    {
        it.Client.Run(string.Format(CultureInfo.InvariantCulture, access, at, Warming));
        long faults = FaultsOf(it, kind);
        long[] allocated = new long[Shares];
        ulong length = (Length - Warming) / Shares;
        for (ulong share = 0; share < Shares; share++)
        {
            long before = Allocated(it);
            it.Client.Run(string.Format(CultureInfo.InvariantCulture, access, at + Warming + (share * length), length));
            allocated[share] = Allocated(it) - before;
        }

        Assert.Equal((long)((Length - Warming) / Page / pagesOfOne), FaultsOf(it, kind) - faults);
        Assert.Contains(0, allocated);
    }

    private static void Storm(ServedClient it, ulong at, int rounds)
    {
        for (int i = 0; i < rounds; i++)
        {
            ulong page = at + ((ulong)(i * 37 % (int)Pages) * Page);
            it.Client.Run($"madvise {page} {Page} 4");
            it.Client.Run($"write {page} 1");
        }
    }

    private long FaultsOf(ServedClient it, FaultKind kind)
    {
        TenantSnapshot counters = CountersOf(it.Session.Tenant);
        return Enum.GetValues<FaultOutcome>().Sum(outcome => counters.Faults(kind, outcome));
    }

    // Of the loop's thread, by itself. The first command makes up for what running one costs.
    private static long Allocated(ServedClient it)
    {
        long allocated = 0;
        for (int i = 0; i < 2; i++)
        {
            LoopCommand<long> command = new(_ => GC.GetAllocatedBytesForCurrentThread());
            it.Session.Loop.Post(command);
            allocated = command.Task.Finish();
        }

        return allocated;
    }

    private static ulong Map(ServedClient it, SharedImage image)
    {
        using SafeFd handed = image.HandOut(writable: false);
        int number = it.Client.Give(handed);
        ulong at = it.Client.Run($"mapfd {number} 0 {image.Length} 0 3");
        Assert.Null(it.TryRegister(at, (ulong)image.Length, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor, image: image).Error);
        return at;
    }
}
