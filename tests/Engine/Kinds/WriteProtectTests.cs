using UffdManager.Engine.Regions;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Kinds;

/// <summary>Write protection: the first write of each page is reported, no write is lost.</summary>
public sealed class WriteProtectTests : EngineTest
{
    private const UffdRegisterModes Both = UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect;

    private long Unprotected => CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Unprotected);

    [Fact]
    public void Armed_page_reports_its_first_write_and_no_other()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(32 * Page, modes: Both);
        it.Client.Run($"fill {at} {32 * Page} 1");
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, 16 * Page, protect: true).Finish().Error);
        Assert.True(it.Client.IsFilledWith(at, 32 * Page, 1));
        Assert.Equal(0, Unprotected);
        for (int i = 0; i < 3; i++)
            it.Client.Run($"fill {at} {32 * Page} {i + 2}");
        Assert.True(it.Client.IsFilledWith(at, 32 * Page, 4));
        Assert.Equal(16, Unprotected);
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, 16 * Page, protect: true).Finish().Error);
        it.Client.WriteByte(at, 9);
        Assert.Equal(17, Unprotected);
    }

    [Fact]
    public void Lifted_protection_reports_nothing_and_lets_waiters_go_on()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * Page, modes: Both);
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, 8 * Page, protect: true).Finish().Error);
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, 8 * Page, protect: false).Finish().Error);
        it.Client.Run($"fill {at} {8 * Page} 2");
        Assert.Equal(0, Unprotected);
    }

    [Fact]
    public void Range_without_the_mode_cannot_be_protected()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * Page);
        Assert.Equal(Errno.ENOENT, Engine.WriteProtectAsync(it.Session, at, Page, protect: true).Finish().Error!.Errno);
        Assert.Equal(Errno.ENOENT, Engine.WriteProtectAsync(it.Session, at + (64 * MiB), Page, protect: true).Finish().Error!.Errno);
        it.Client.Run($"fill {at} {8 * Page} 2");
    }

    [Fact]
    public void Threads_that_write_protected_pages_at_once_lose_no_update()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(Page, modes: Both);
        it.Client.WriteByte(at, 0);
        PendingReply[] adders = [.. Enumerable.Range(0, 4).Select(t => it.Client.Begin($"add {at} 20000", t))];
        for (int i = 0; i < 50; i++)
            Assert.Null(Engine.WriteProtectAsync(it.Session, at, Page, protect: true).Finish().Error);
        foreach (PendingReply adder in adders)
            adder.AwaitValue();
        Assert.Equal(80_001UL, it.Client.Run($"add {at} 1"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Page_filled_for_a_read_reports_its_first_write(bool inMemory)
    {
        ScriptedSource source = Scripted(16 * Page);
        source.InMemory = inMemory;
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 16384 });
        ulong at = it.MapRegistered(16 * Page, source, flags: RegionFlags.WriteProtected, modes: Both);
        it.AssertHolds(at, 16 * Page, source);
        Assert.Equal(0, Unprotected);
        it.Client.Run($"fill {at} {8 * Page} 255");
        Assert.Equal(8, Unprotected);
        Assert.True(it.Client.IsFilledWith(at, 8 * Page, 255));
        it.AssertHolds(at + (8 * Page), 8 * Page, source, 8 * (long)Page);
    }

    [Fact]
    public void Zero_page_filled_for_a_read_reports_its_first_write_too()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * Page, flags: RegionFlags.WriteProtected, modes: Both);
        it.AssertZero(at, 4 * Page);
        it.Client.Run($"fill {at} {8 * Page} 3");

        // The other four were filled for a write, which is known without a second fault.
        Assert.Equal(4, Unprotected);
        Assert.True(it.Client.IsFilledWith(at, 8 * Page, 3));
    }

    [Fact]
    public void Prefetched_pages_are_protected_as_well()
    {
        ScriptedSource source = Scripted(64 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(64 * Page, source, flags: RegionFlags.WriteProtected, modes: Both);
        Assert.Equal(64 * Page, Engine.PrefetchAsync(it.Session, at, 64 * Page).Finish().Value);
        it.AssertHolds(at, 64 * Page, source);
        it.Client.Run($"write {at + Page} 255");
        Assert.Equal(1, Unprotected);
    }

    [Fact]
    public void Protection_survives_a_fork_on_both_sides()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(4 * Page, modes: Both);
        it.Client.Run($"fill {at} {4 * Page} 1");
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, 4 * Page, protect: true).Finish().Error);
        it.Client.Run("fork");
        ClientProcess child = Track(it.Client.AcceptChild());
        child.Run($"fill {at} {4 * Page} 2");
        Assert.Equal(4, Unprotected);
        it.Client.Run($"fill {at} {4 * Page} 3");
        Assert.Equal(8, Unprotected);
        Assert.True(child.IsFilledWith(at, 4 * Page, 2));
        Assert.True(it.Client.IsFilledWith(at, 4 * Page, 3));
    }

    [Fact]
    public void Protected_page_given_back_starts_anew()
    {
        ScriptedSource source = Scripted(4 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, source, flags: RegionFlags.WriteProtected, modes: Both);
        it.AssertHolds(at, 4 * Page, source);
        it.Client.Run($"madvise {at} {2 * Page} 4");
        it.AssertZero(at, 2 * Page);
        it.Client.Run($"fill {at} {4 * Page} 7");
        Assert.True(it.Client.IsFilledWith(at, 4 * Page, 7));
        Assert.Equal(4, Unprotected);
    }
}
