using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tracking;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>What the first run touches, the next ones find installed.</summary>
public sealed class ReplayTests : WorkingSetTest
{
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
        Assert.Equal(1, Traces.Saves);

        ServedClient second = Serve(policy: Replay);
        low = second.MapRegistered(4 * MiB, file);
        high = second.MapRegistered(4 * MiB, file, offset: (long)(4 * MiB));
        WaitForReplay(second);
        foreach (ulong page in Wanted)
            AssertPage(second, page < 1024 ? low + (page * Page) : high + ((page - 1024) * Page), contents, page);
        Assert.InRange(second.Status().Faults, 0, Wanted.Length * 5 / 100);
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

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void First_write_to_a_replayed_page_of_a_tracked_session_is_listed(bool isTrackedFirst)
    {
        // Every other page that is wanted is a hole of the image.
        string path = Temp.Combine("holes");
        using (FileStream made = File.Create(path))
        {
            made.SetLength((long)Image);
            foreach (ulong page in Wanted.Where(page => page % 8 == 0))
            {
                made.Position = (long)(page * Page);
                made.Write(new byte[Page].Select(_ => (byte)7).ToArray());
            }
        }

        byte[] contents = File.ReadAllBytes(path);
        LayeredSource image = Own(new LayeredSource([new ImageLayer(FileIo.Open(path, OpenFlags.ReadOnly), path, isDirect: false)], (int)Page, new ChunkCache(1 << 30), path));
        Run(image, contents, Replay, Wanted);
        ServedClient it = Serve(policy: Replay);
        (ulong at, _) = it.Client.Map("anon", Image);
        if (!isTrackedFirst)
            it.Register(at, Image, image);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        if (isTrackedFirst)
            it.Register(at, Image, image);
        WaitForReplay(it);
        Assert.Null(FaultEngine.DirtyPagesAsync(it.Session, 0, 10_000, reset: true).Finish().Error);
        foreach (ulong page in Wanted)
            it.Client.WriteByte(at + (page * Page), 9);
        DirtyPages dirty = FaultEngine.DirtyPagesAsync(it.Session, 0, 10_000, reset: false).Finish();
        Assert.Null(dirty.Next);
        Assert.Equal(
            Wanted.Select(page => at + (page * Page)),
            dirty.Runs.SelectMany(run => Enumerable.Range(0, (int)(run.Length / Page)).Select(i => run.Start + ((ulong)i * Page))));
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

        // By a thread of the pool, which the filling does not wait for.
        Eventually.True(() => Traces.Saves == 1, "the trace to be saved");
        Assert.Equal(ClientProcess.Hash(contents), it.Client.HashRange(at, Image));

        // None where the client was so late that the page was there.
        Assert.InRange(it.Status().Faults, 0, 1);
    }

    // An image of its own each time, as for clients that come one after the other: what the first has filled, the second has to fill again.
    private void RunShared(PageSource file, byte[] contents, out long faults)
    {
        ServedClient it = Serve(policy: Replay);
        using SharedImage image = SharedImage.Create(file, 0, (long)Image, writable: false, "test");
        using SafeFd handed = image.HandOut(writable: false);
        int number = it.Client.Give(handed);
        ulong at = it.Client.Run($"mapfd {number} 0 {Image} 0 3");
        bool isKnown = Traces.Saves > 0;
        Assert.Null(it.TryRegister(at, Image, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor, image: image).Error);
        if (isKnown)
            WaitForReplay(it);
        foreach (ulong page in Wanted)
            AssertPage(it, at + (page * Page), contents, page);
        faults = it.Status().Faults;
        EndRun(it);
    }
}
