using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>A disk that loses a part of itself under an image.</summary>
public sealed class DeviceErrorTests : ImageTest
{
    private const int Pages = 2048;
    private const int FirstLost = 1500;

    private static readonly Policy Waiting = new() { Name = "waiting", OnUnavailable = Verdict.Wait, RetryBackoff = TimeSpan.FromMilliseconds(1), FaultAroundBytes = 64 * 1024 };

    [SkippableFact]
    public void Disk_that_loses_its_end_costs_those_who_need_it_and_gives_the_pages_again_when_it_is_back()
    {
        byte[] pages = new byte[Pages];
        new Random(7).NextBytes(pages);
        using LoopDisk disk = LoopDisk.With(Temp, pages);
        HashSet<int> lost = disk.TearOff(FirstLost, pages);
        Assert.InRange(lost.Count, 1, Pages - 1);

        // Past the page cache, which may keep what lies side by side in one piece, and then loses all of it with one sector.
        ImageLayer layer = new(FileIo.Open(disk.File, OpenFlags.ReadOnly | OpenFlags.Direct), disk.File, isDirect: true);
        LayeredSource source = Own(new LayeredSource([layer], PageBytes, CacheOf(256), "image"));
        ServedClient needy = Serve(Alice);
        ServedClient patient = Serve(Bob);
        ulong atNeedy = needy.MapRegistered(Pages * Page, source, Waiting with { OnUnavailable = Verdict.Kill, Deadline = TimeSpan.FromMilliseconds(200) });
        ulong atPatient = patient.MapRegistered(Pages * Page, source, Waiting);

        // Every page that the disk still has, those in the same chunk as a lost one among them.
        for (int page = 0; page < Pages; page++)
        {
            if (!lost.Contains(page))
                Assert.Equal(pages[page], needy.Client.ReadByte(atNeedy + ((ulong)page * Page)));
        }

        needy.Client.Begin($"read {atNeedy + (FirstLost * Page)}", 1);
        needy.Client.WaitForExit();
        PendingReply waits = patient.Client.Begin($"read {atPatient + (FirstLost * Page)}", 1);
        Assert.Equal(Errno.EIO, WaitForEvent<SourceFailed>().Errno);
        Assert.False(patient.Client.HasExited);
        Assert.Null(source.ChangedFile);
        disk.PutBack();
        Assert.Equal(pages[FirstLost], waits.AwaitValue());
        for (int page = 0; page < Pages; page++)
            Assert.Equal(pages[page], patient.Client.ReadByte(atPatient + ((ulong)page * Page)));
    }
}
