using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;
using Stopwatch = System.Diagnostics.Stopwatch;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>Runs of real clients on one file: what the first one touches, the next ones find installed.</summary>
public sealed class ReplayTests : EngineTest
{
    private const ulong Image = 8 * MiB;

    private readonly MemoryTraceStore _store = new();

    public ReplayTests() => Options = Options with { FaultLoops = 1, TraceStore = _store };

    private static Policy Replay { get; } = Named with { Name = "replay", Prefetch = new PrefetchPolicy { Mode = PrefetchMode.Replay } };

    // Every fourth page of the first half, and a stretch of 64.
    private static ulong[] Wanted { get; } = [.. Enumerable.Range(0, 256).Select(i => (ulong)i * 4), .. Enumerable.Range(1500, 64).Select(i => (ulong)i)];

    [Fact]
    public void Pages_of_the_first_run_are_installed_before_the_second_asks_for_them()
    {
        FileSource file = RandomFile((long)Image, 1, out byte[] contents);
        Assert.Equal(Wanted.Length, Run(file, contents, Replay, Wanted));

        long faults = RunPrefetched(file, contents, Replay, Wanted);
        Assert.InRange(faults, 0, Wanted.Length * 5 / 100);
    }

    [Fact]
    public void Everything_beside_the_working_set_is_right_too()
    {
        FileSource file = RandomFile((long)Image, 2, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        ServedClient it = Serve(policy: Replay);
        ulong at = it.MapRegistered(Image, file);
        Assert.Equal(ClientProcess.Hash(contents), it.Client.HashRange(at, Image));
    }

    [Fact]
    public void Regions_of_one_image_are_one_run()
    {
        FileSource file = RandomFile((long)Image, 3, out byte[] contents);
        ServedClient first = Serve(policy: Replay);
        ulong low = first.MapRegistered(4 * MiB, file);
        ulong high = first.MapRegistered(4 * MiB, file, offset: (long)(4 * MiB));
        foreach (ulong page in Wanted)
            AssertPage(first, page < 1024 ? low + (page * Page) : high + ((page - 1024) * Page), contents, page);
        EndRun(first);
        Assert.Equal(1, _store.Saves);

        ServedClient second = Serve(policy: Replay);
        low = second.MapRegistered(4 * MiB, file);
        high = second.MapRegistered(4 * MiB, file, offset: (long)(4 * MiB));
        WaitForReplay(second);
        foreach (ulong page in Wanted)
            AssertPage(second, page < 1024 ? low + (page * Page) : high + ((page - 1024) * Page), contents, page);
        Assert.InRange(second.Status().Faults, 0, Wanted.Length * 5 / 100);
    }

    [Fact]
    public void Working_set_of_one_tenant_is_not_replayed_for_another()
    {
        FileSource file = RandomFile((long)Image, 4, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        ServedClient it = Serve(tenant: Bob, policy: Replay);
        ulong at = it.MapRegistered(Image, file);
        foreach (ulong page in Wanted)
            AssertPage(it, at + (page * Page), contents, page);
        Assert.Equal(Wanted.Length, it.Status().Faults);
    }

    [Fact]
    public void Trace_of_an_earlier_engine_is_replayed()
    {
        FileSource file = RandomFile((long)Image, 5, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        DropEngine();
        Assert.InRange(RunPrefetched(file, contents, Replay, Wanted), 0, Wanted.Length * 5 / 100);
        Assert.Empty(_store.Rejections);
    }

    [Theory]
    [InlineData("cut")]
    [InlineData("changed")]
    [InlineData("noise")]
    [InlineData("empty")]
    public void Trace_that_is_damaged_is_told_and_the_run_served_on_demand(string damage)
    {
        FileSource file = RandomFile((long)Image, 6, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        DropEngine();
        _store.Spoil(bytes => damage switch
        {
            "cut" => bytes[..(bytes.Length / 2)],
            "changed" => [.. bytes[..40], (byte)(bytes[40] ^ 1), .. bytes[41..]],
            "noise" => [.. bytes.Select((_, i) => (byte)(i * 7))],
            _ => [],
        });
        Assert.Equal(Wanted.Length, Run(file, contents, Replay, Wanted));
        Assert.Single(_store.Rejections);

        // Learnt anew, in place of what was damaged.
        DropEngine();
        Assert.InRange(RunPrefetched(file, contents, Replay, Wanted), 0, Wanted.Length * 5 / 100);
    }

    [Fact]
    public void Trace_of_a_file_that_has_changed_since_is_not_used()
    {
        FileSource file = RandomFile((long)Image, 7, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        DropEngine();
        contents[5]++;
        string path = Temp.WriteFile("other", contents);
        byte[] fresh = File.ReadAllBytes(path);
        File.WriteAllBytes(file.Description, fresh);
        File.SetLastWriteTimeUtc(file.Description, DateTime.UnixEpoch.AddYears(40));
        FileSource changed = Own(new FileSource(FileIo.Open(file.Description, OpenFlags.ReadOnly), file.Description));
        Assert.Equal(Wanted.Length, Run(changed, fresh, Replay, Wanted));
        Assert.Contains("changed", Assert.Single(_store.Rejections), StringComparison.Ordinal);
    }

    [Fact]
    public void Page_given_back_before_the_replay_reaches_it_reads_as_zeros()
    {
        FileSource file = RandomFile((long)Image, 8, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        ServedClient it = Serve(policy: Replay);
        (ulong at, _) = it.Client.Map("anon", Image);
        it.Register(at, Image, file);

        // Whether the replay is ahead or behind: what the client gave back stays given back.
        it.Client.Run($"madvise {at} {2 * MiB} 4");
        it.AssertZero(at, 2 * MiB);
        Assert.Equal(ClientProcess.Hash(contents.AsSpan((int)(2 * MiB))), it.Client.HashRange(at + (2 * MiB), Image - (2 * MiB)));
    }

    [Fact]
    public void Range_that_is_unregistered_during_its_replay_ends_the_replay()
    {
        FileSource file = RandomFile((long)Image, 9, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        for (int round = 0; round < 20; round++)
        {
            ServedClient it = Serve(policy: Replay);
            ulong at = it.MapRegistered(Image, file);
            Assert.Null(Engine.UnregisterAsync(it.Session, at, Image).Finish().Error);
            it.Register(at, Image, ZeroSource.Instance);
            Assert.Equal(0, it.Client.ReadByte(at + (2047 * Page)));
            it.Client.Kill();
        }

        _ = contents;
    }

    [Fact]
    public void Client_that_dies_during_its_replay_leaves_nothing_behind()
    {
        FileSource file = RandomFile((long)Image, 10, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        for (int round = 0; round < 20; round++)
        {
            ServedClient it = Serve(policy: Replay);
            it.MapRegistered(Image, file);
            it.Client.Kill();
        }
    }

    [Fact]
    public void Replay_ends_where_the_policy_says()
    {
        FileSource file = RandomFile((long)Image, 11, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        Policy small = Replay with { Prefetch = Replay.Prefetch with { MaximumBytes = 40 * (long)Page } };
        ServedClient it = Serve(policy: small);
        it.MapRegistered(Image, file);
        WaitForReplay(it, 40);
        Assert.Equal(40 * (long)Page, it.Status().ResidentBytes);
    }

    [Fact]
    public void Replay_keeps_to_the_pages_in_flight_of_policy_and_tenant()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { PagesInFlight = 16 });
        FileSource file = RandomFile((long)Image, 12, out byte[] contents);
        Policy narrow = Replay with { Prefetch = Replay.Prefetch with { MaximumPagesInFlight = 24 } };
        Run(file, contents, narrow, Wanted);
        Assert.InRange(RunPrefetched(file, contents, narrow, Wanted), 0, Wanted.Length * 5 / 100);
    }

    [Fact]
    public void Shared_image_is_filled_and_mapped_ahead_of_the_faults()
    {
        FileSource file = RandomFile((long)Image, 13, out byte[] contents);
        RunShared(file, contents, out _);
        RunShared(file, contents, out long faults);
        Assert.InRange(faults, 0, Wanted.Length * 5 / 100);
    }

    [Fact]
    public void Armed_region_reports_the_first_write_to_a_page_that_was_replayed()
    {
        FileSource file = RandomFile((long)Image, 14, out byte[] contents);
        UffdRegisterModes modes = UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect;
        Run(file, contents, Replay, Wanted, modes);
        ServedClient it = Serve(policy: Replay);
        ulong at = it.MapRegistered(Image, file, flags: RegionFlags.WriteProtected, modes: modes);
        WaitForReplay(it);
        ulong page = Wanted.First(page => it.Status().Faults == Faulted(it, at + (page * Page)));
        it.Client.WriteByte(at + (page * Page), 77);
        Assert.Equal(1, CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Unprotected));
        _ = contents;
    }

    [Fact]
    public void Rest_is_filled_when_the_run_has_been_observed()
    {
        FileSource file = RandomFile((long)Image, 15, out byte[] contents);
        Policy both = Named with
        {
            Prefetch = new PrefetchPolicy { Mode = PrefetchMode.ReplayThenFull, RecordTime = TimeSpan.FromMilliseconds(200) },
        };
        ServedClient it = Serve(policy: both);
        ulong at = it.MapRegistered(Image, file);
        AssertPage(it, at, contents, 0);
        Eventually.True(() => it.Status().ResidentBytes == (long)Image, "the rest of the image");
        Assert.Equal(1, _store.Saves);
        Assert.Equal(ClientProcess.Hash(contents), it.Client.HashRange(at, Image));
        Assert.Equal(1, it.Status().Faults);
    }

    [Fact]
    public void Run_is_observed_for_as_long_as_the_policy_says()
    {
        FileSource file = RandomFile((long)Image, 16, out byte[] contents);
        Policy brief = Replay with { Prefetch = Replay.Prefetch with { RecordTime = TimeSpan.FromMilliseconds(100) } };
        ServedClient it = Serve(policy: brief);
        ulong at = it.MapRegistered(Image, file);
        AssertPage(it, at, contents, 0);
        Eventually.True(() => _store.Saves == 1, "the end of the observation");
        AssertPage(it, at + Page, contents, 1);
        EndRun(it);
        Assert.Equal(1, _store.Saves);
    }

    [Fact]
    public void Run_that_touches_other_pages_stops_the_replay_and_is_learnt_anew()
    {
        FileSource file = RandomFile(64 * (long)MiB, 17, out byte[] contents);
        ulong[] first = [.. Enumerable.Range(0, 4000).Select(i => (ulong)i * 2)];
        ulong[] other = [.. Enumerable.Range(8100, 6000).Select(i => (ulong)i)];
        Stopwatch watch = Stopwatch.StartNew();
        Run(file, contents, Replay, first);

        // Runs that live as long as the first one have something to say about all of its pages.
        TimeSpan life = watch.Elapsed * 2;
        Run(file, contents, Replay, other, life: life);
        Assert.Equal(1, CountersOf(Alice).Runs(ReplayOutcome.Recorded));
        Run(file, contents, Replay, other, life: life);
        Assert.Equal(2, CountersOf(Alice).Runs(ReplayOutcome.Recorded));
        ServedClient it = Serve(policy: Replay);
        it.MapRegistered(64 * MiB, file);
        WaitForReplay(it, other.Length * 9 / 10);
        Assert.InRange(it.Status().ResidentBytes, 1, other.Length * (long)Page);
    }

    [Fact]
    public void Batch_on_its_way_stands_for_no_address()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out _);
        Assert.NotEmpty(it.Session.Tickets);
        Assert.All(it.Session.Tickets, ticket => Assert.True(ticket.Batch is not null && ticket.Start > ulong.MaxValue / 2 && ticket.End > ticket.Start));
        source.Release();
    }

    [Fact]
    public void Source_that_fails_ends_the_replay_and_nothing_else()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);
        source.FailNext(1);
        source.Release();
        Eventually.True(() => it.Session.Jobs.Count == 0, "the end of the replay");
        foreach (ulong page in Wanted)
            it.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
        EndRun(it);
        Assert.Equal(1, CountersOf(Alice).Runs(ReplayOutcome.Failed));
    }

    [Fact]
    public void File_without_a_name_is_nothing_to_learn_about()
    {
        FileSource named = RandomFile((long)Page, 20, out byte[] contents);
        Assert.NotNull(named.Identity);
        string path = Temp.WriteFile("gone", contents);
        SafeFile file = FileIo.Open(path, OpenFlags.ReadOnly);
        File.Delete(path);
        Assert.Null(Own(new FileSource(file, "gone")).Identity);
    }

    [Fact]
    public void Replay_leaves_half_of_what_may_be_in_flight_and_a_thread_to_the_faults()
    {
        Options = Options with { FetchThreads = 2, FetchConcurrencyPerTenant = 2 };
        Alice = new Tenant("alice", 1, new TenantLimits { PagesInFlight = 64, FetchQueueDepth = 4 });
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);
        Assert.InRange(CountersOf(Alice).PagesInFlight, 1, 32);

        // The source hangs in the batch, on its own thread; who faults does not wait for it in the queue.
        int before = source.Entered;
        PendingReply read = it.Client.Begin($"read {at + Page}", 1);
        source.WaitForFetches(before + 1);
        source.Release();
        Assert.Equal((ulong)source.ByteOf((long)Page), read.AwaitValue());
        it.AssertHolds(at, 64 * Page, source);
    }

    [Fact]
    public void Who_registers_again_and_again_is_planned_for_a_few_times()
    {
        FileSource file = RandomFile((long)Image, 19, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        ServedClient it = Serve(policy: Replay);
        (ulong at, _) = it.Client.Map("anon", Image);
        for (int i = 0; i < 3 * WorkingSetRun.MaximumWindows; i++)
        {
            it.Register(at, Image, file);
            Assert.Null(Engine.UnregisterAsync(it.Session, at, Image).Finish().Error);
        }

        Assert.Equal(WorkingSetRun.MaximumWindows, Assert.Single(it.Session.Runs).Windows.Count);
    }

    // A client whose replay hangs in the source with its first batch.
    private ServedClient ServeHeldReplay(out ScriptedSource source, out ulong at)
    {
        source = Scripted(Image);
        source.KnownAs = new SourceIdentity(1, 2, (long)Image, 3);
        ServedClient first = Serve(policy: Replay);
        at = first.MapRegistered(Image, source);
        foreach (ulong page in Wanted)
            first.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
        EndRun(first);

        int before = source.Entered;
        source.Hold();
        ServedClient second = Serve(policy: Replay);
        at = second.MapRegistered(Image, source);
        source.WaitForFetches(before + 1);
        return second;
    }

    [Fact]
    public void Accounting_tells_what_was_installed_and_what_became_of_it()
    {
        FileSource file = RandomFile(64 * (long)MiB, 18, out byte[] contents);
        ulong[] pages = [.. Enumerable.Range(0, 3200).Select(i => (ulong)i * 5)];
        Run(file, contents, Replay, pages);
        Assert.Equal(1, CountersOf(Alice).Runs(ReplayOutcome.Recorded));

        ServedClient it = Serve(policy: Replay);
        ulong at = it.MapRegistered(64 * MiB, file);
        int planned = pages.Count(page => !Trace.IsProbe((uint)page, 1));
        WaitForReplay(it, planned);
        foreach (ulong page in pages.Take(1600))
            AssertPage(it, at + (page * Page), contents, page);
        foreach (ulong page in Enumerable.Range(1, 10).Select(i => (ulong)i))
            AssertPage(it, at + (page * 5 * Page) + Page, contents, (page * 5) + 1);
        EndRun(it);

        TenantSnapshot counters = CountersOf(Alice);
        Assert.Equal(planned, counters.Replayed(ReplayPages.Installed));
        Assert.Equal(0, counters.Replayed(ReplayPages.Late));
        Assert.Equal(10, counters.Replayed(ReplayPages.Missed));
        Assert.Equal(pages.Take(1600).Count(page => Trace.IsProbe((uint)page, 1)), counters.Replayed(ReplayPages.Probed));
        Assert.Equal(planned, counters.Replayed(ReplayPages.Used) + counters.Replayed(ReplayPages.Wasted));
        Assert.InRange(counters.Replayed(ReplayPages.Used), planned * 3 / 10, planned * 7 / 10);
        Assert.Equal(1, counters.Runs(ReplayOutcome.Replayed));
    }

    // Faults of a session so far, after one more page was touched.
    private static long Faulted(ServedClient it, ulong address)
    {
        it.Client.ReadByte(address);
        return it.Status().Faults;
    }

    private static void AssertPage(ServedClient it, ulong address, byte[] contents, ulong page) =>
        Assert.Equal(contents[page * Page], it.Client.ReadByte(address));

    private static void WaitForReplay(ServedClient it, int pages = 0)
    {
        long wanted = (pages == 0 ? Wanted.Length * 95 / 100 : pages) * (long)Page;
        Eventually.True(() => it.Status().ResidentBytes >= wanted, "the replay");
    }

    private long Run(PageSource file, byte[] contents, Policy policy, ulong[] pages, UffdRegisterModes modes = UffdRegisterModes.Missing, TimeSpan life = default)
    {
        ServedClient it = Serve(policy: policy);
        ulong at = it.MapRegistered((ulong)contents.Length, file, modes: modes);
        foreach (ulong page in pages)
            AssertPage(it, at + (page * Page), contents, page);
        long faults = it.Status().Faults;
        Eventually.True(() => MonotonicClock.NowNanoseconds - it.Session.StartedAt >= life.TotalNanoseconds, "the end of the run's life");
        EndRun(it);
        return faults;
    }

    private long RunPrefetched(PageSource file, byte[] contents, Policy policy, ulong[] pages)
    {
        ServedClient it = Serve(policy: policy);
        ulong at = it.MapRegistered((ulong)contents.Length, file);
        WaitForReplay(it);
        foreach (ulong page in pages)
            AssertPage(it, at + (page * Page), contents, page);
        return it.Status().Faults;
    }

    // An image of its own each time, as for clients that come one after the other: what the first has filled, the second has to fill again.
    private void RunShared(PageSource file, byte[] contents, out long faults)
    {
        ServedClient it = Serve(policy: Replay);
        using SharedImage image = SharedImage.Create(file, 0, (long)Image, writable: false, "test");
        using SafeFd handed = image.HandOut(writable: false);
        int number = it.Client.Give(handed);
        ulong at = it.Client.Run($"mapfd {number} 0 {Image} 0 3");
        bool isKnown = _store.Saves > 0;
        Assert.Null(it.TryRegister(at, Image, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor, image: image).Error);
        if (isKnown)
            WaitForReplay(it);
        foreach (ulong page in Wanted)
            AssertPage(it, at + (page * Page), contents, page);
        faults = it.Status().Faults;
        EndRun(it);
    }

    private void EndRun(ServedClient it)
    {
        int before = _store.Saves;
        bool isObserved = it.Session.Runs.Count > 0;
        it.Client.Kill();
        Eventually.True(() => !Engine.Sessions().Contains(it.Session), "the end of the session");
        if (isObserved)
            Eventually.True(() => _store.Saves > before, "what was learnt");
    }
}
