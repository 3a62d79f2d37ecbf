using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Snapshots;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>Writes to shared images of which the kernel maps pages without a word: those that were filled for somebody else, where the mode minor is not asked for.</summary>
public sealed class SharedImageWriteTests : HaltedSnapshotTest
{
    [Theory]
    [InlineData(UffdRegisterModes.Missing)]
    [InlineData(UffdRegisterModes.Missing | UffdRegisterModes.Minor)]
    public void Write_to_a_page_that_another_client_had_filled_is_listed(UffdRegisterModes modes)
    {
        SharedImage image = Image(out _);
        (ServedClient first, ulong atFirst) = Map(image, modes);
        (ServedClient second, ulong at) = Map(image, modes);
        first.Client.Run($"touch {atFirst} {8 * Page}");
        Assert.Null(Engine.StartTrackingAsync(second.Session).Finish().Error);
        second.Client.ReadByte(at + Page);
        second.Client.WriteByte(at + (5 * Page), 1);
        Assert.Equal([new DirtyRun(at + (5 * Page), Page, Page)], FaultEngine.DirtyPagesAsync(second.Session, 0, 10, reset: false).Finish().Runs);
    }

    [Fact]
    public void Write_to_a_page_that_another_client_had_filled_is_held_in_a_snapshot()
    {
        SharedImage image = Image(out byte[] contents);
        (ServedClient first, ulong atFirst) = Map(image, UffdRegisterModes.Missing);
        (ServedClient second, ulong at) = Map(image, UffdRegisterModes.Missing);
        first.Client.Run($"touch {atFirst} {Pages * Page}");
        RunningSnapshot snapshot = Halt(second);
        ulong page = at + (Unsaved * Page);
        PendingReply write = second.Client.Begin($"fill {page} {Page} 2", thread: 1);
        Eventually.True(() => Held > 0 || write.IsCompleted, "the writer");
        ReleaseBases();
        byte[] saved = snapshot.Finish();
        write.Await();
        Assert.Equal(contents[(int)(Unsaved * Page)..][..(int)Page], saved[(int)(Unsaved * Page)..][..(int)Page]);
    }

    private SharedImage Image(out byte[] contents) =>
        Own(SharedImage.Create(RandomFile((long)(Pages * Page), 1, out contents), 0, (long)(Pages * Page), writable: false, "object"));

    private (ServedClient It, ulong At) Map(SharedImage image, UffdRegisterModes modes)
    {
        ServedClient it = Serve();
        using SafeFd handed = image.HandOut(false);
        int number = it.Client.Give(handed);
        ulong at = it.Client.Run($"mapfd {number} 0 {Pages * Page} 0 3");
        Assert.Null(it.TryRegister(at, Pages * Page, modes: modes, image: image).Error);
        return (it, at);
    }
}
