using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>A manager that ended in the middle: its state memory is put into the shape that it would have then.</summary>
public sealed class InterruptedTests : RestoreTest
{
    [Fact]
    public void Removal_that_was_acknowledged_and_not_recorded_is_recorded_by_the_successor()
    {
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out byte[] contents));
        EndManager();
        Acknowledge(client, new UffdMessage { Event = UffdEventKind.Remove, Start = at, End = at + (2 * Page) });
        client = Again(client, StartNext());
        Assert.Equal(0, client.Client.ReadByte(at));
        Assert.Equal(0, client.Client.ReadByte(at + Page));
        Assert.Equal(contents[2 * Page], client.Client.ReadByte(at + (2 * Page)));
    }

    [Theory]
    [InlineData(RemapStep.Read)]
    [InlineData(RemapStep.PlaceIsFree)]
    [InlineData(RemapStep.Moved)]
    [InlineData(RemapStep.Done)]
    public void Remap_is_completed_whichever_of_its_steps_was_the_last(byte step)
    {
        ServedClient client = Serve();
        FileSource file = RandomFile(4 * (long)Page, 1, out byte[] contents);
        ulong at = client.MapRegistered(4 * Page, file);
        Assert.Equal(contents[0], client.Client.ReadByte(at));
        client.Client.Run($"madvise {at + Page} {Page} 4");
        ulong moved = client.Client.Run($"mremap {at} {4 * Page} {4 * Page} 0");
        Eventually.True(() => client.Regions() is [{ } only] && only.Start == moved, "the events");
        EndManager();

        // As it stood before: the region at its old place.
        Mapped(client, ledger =>
        {
            RecoveredLedger recovered = ledger.Recover(ledger.Memory.FindUsed());
            nuint place = Assert.Single(recovered.Regions).Place;
            if (step <= RemapStep.PlaceIsFree)
            {
                ref RegionRecord record = ref NativePages.At<RegionRecord>(place);
                (record.Start, record.End) = (at, at + (4 * Page));
                RegionRecords.SetState(place, RegionRecordState.Standing);
            }
        });
        if (step <= RemapStep.PlaceIsFree)
            MovePagesBack(client, moved, at);
        Acknowledge(client, new UffdMessage { Event = UffdEventKind.Remap, Step = step, From = at, To = moved, Length = 4 * Page });
        client = Again(client, StartNext());
        Assert.Equal(contents[0], client.Client.ReadByte(moved));
        Assert.Equal(0, client.Client.ReadByte(moved + Page));
        Assert.Equal(contents[2 * Page], client.Client.ReadByte(moved + (2 * Page)));
    }

    [Fact]
    public void Remap_that_was_taken_in_leaves_who_moved_to_the_old_place_since()
    {
        ServedClient client = Serve();
        FileSource file = RandomFile(4 * (long)Page, 1, out byte[] contents);
        FileSource other = RandomFile(4 * (long)Page, 2, out byte[] otherContents);
        ulong at = client.MapRegistered(4 * Page, file);
        ulong moved = client.Client.Run($"mremap {at} {4 * Page} {4 * Page} 0");
        Eventually.True(() => client.Regions() is [{ } only] && only.Start == moved, "the events");
        client.Client.Run($"mapfixed {at} {4 * Page}");
        client.Register(at, 4 * Page, other);
        EndManager();
        Acknowledge(client, new UffdMessage { Event = UffdEventKind.Remap, Step = RemapStep.Done, From = at, To = moved, Length = 4 * Page });
        client = Again(client, StartNext());
        Assert.Equal(otherContents[Page], client.Client.ReadByte(at + Page));
        Assert.Equal(contents[Page], client.Client.ReadByte(moved + Page));
    }

    [Fact]
    public void Range_whose_registration_the_kernel_knows_is_served()
    {
        ServedClient client = Serve();
        FileSource file = RandomFile(4 * (long)Page, 1, out byte[] contents);
        ulong at = client.MapRegistered(4 * Page, file);
        EndManager();
        Mapped(client, ledger => RegionRecords.SetState(Assert.Single(ledger.Recover(ledger.Memory.FindUsed()).Regions).Place, RegionRecordState.Wanted));
        client = Again(client, StartNext());
        Assert.Equal(contents[Page], client.Client.ReadByte(at + Page));
        Assert.Equal(4 * Page, Assert.Single(client.Regions()).Length);
    }

    [Fact]
    public void Range_that_was_wanted_and_that_the_kernel_was_not_asked_for_is_forgotten()
    {
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out _));
        EndManager();
        Mapped(client, ledger => RegionRecords.SetState(Assert.Single(ledger.Recover(ledger.Memory.FindUsed()).Regions).Place, RegionRecordState.Wanted));
        using (SafeUffd uffd = Store.Peek(NameOf(client.Session), Userfaultfd.IsUserfaultfd).Duplicate<SafeUffd>())
            Assert.Equal(Errno.OK, Userfaultfd.Unregister(uffd, at, 4 * Page));
        client = Again(client, StartNext());
        Assert.Empty(client.Regions());
        client.AssertZero(at, 4 * Page);
    }

    [Fact]
    public void Message_that_makes_no_sense_costs_its_client_the_life_and_nobody_else()
    {
        ServedClient client = Serve();
        ServedClient other = Serve();
        client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out _));
        ulong at = other.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 2, out byte[] contents));
        EndManager();
        Acknowledge(client, new UffdMessage { Event = UffdEventKind.Remap, From = 4096, To = ulong.MaxValue - 4095, Length = 1UL << 60 });
        RestoreReport report = StartNext();
        Assert.Equal(client.Session.Id, Assert.Single(report.Failures).SessionId);
        client.Client.WaitForExit();
        other = Again(other, report);
        Assert.Equal(contents[Page], other.Client.ReadByte(at + Page));
    }

    [Fact]
    public void Source_of_a_default_policy_that_no_region_uses_outlives_two_managers()
    {
        Policies.Policy policy = new() { Name = "own", Source = RandomFile(4 * (long)Page, 3, out byte[] contents) };
        ServedClient client = Serve(policy: policy);
        client = Again(client, Restart());
        client = Again(client, Restart());
        ulong at = client.MapRegistered(4 * Page);
        Assert.Equal(contents[Page], client.Client.ReadByte(at + Page));
    }

    [Fact]
    public void Range_that_was_wanted_and_is_no_longer_mapped_is_forgotten()
    {
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out _));
        EndManager();
        Mapped(client, ledger => RegionRecords.SetState(Assert.Single(ledger.Recover(ledger.Memory.FindUsed()).Regions).Place, RegionRecordState.Wanted));
        using (SafeUffd uffd = Store.Peek(NameOf(client.Session), Userfaultfd.IsUserfaultfd).Duplicate<SafeUffd>())
            Assert.Equal(Errno.OK, Userfaultfd.Unregister(uffd, at, 4 * Page));
        client.Client.Run($"munmap {at} {4 * Page}");
        client = Again(client, StartNext());
        Assert.Empty(client.Regions());
        Assert.Equal(0, Alice.Usage.Regions);
    }

    [Fact]
    public void Unregistration_that_was_begun_is_completed()
    {
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out byte[] contents));
        EndManager();
        Mapped(client, ledger => ledger.Unregistering = (at + Page, at + (3 * Page)));
        client = Again(client, StartNext());
        Assert.Equal(contents[0], client.Client.ReadByte(at));
        client.AssertZero(at + Page, 2 * Page);
        Assert.Equal(contents[3 * Page], client.Client.ReadByte(at + (3 * Page)));
        Assert.Equal(2, client.Regions().Count);
    }

    [Fact]
    public void Pieces_of_a_region_that_still_stands_do_not_count()
    {
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out byte[] contents));
        EndManager();
        Mapped(client, ledger =>
        {
            nuint whole = Assert.Single(ledger.Recover(ledger.Memory.FindUsed()).Regions).Place;
            RegionRecord piece = NativePages.At<RegionRecord>(whole);
            piece.Replaces = RegionRecords.IdOf(whole);
            piece.End = at + Page;
            nuint place = whole + RegionRecord.Size;
            piece.Id = 1000;
            piece.Tag = 0;
            NativePages.At<RegionRecord>(place) = piece;
            RegionRecords.SetState(place, RegionRecordState.Standing);
        });
        client = Again(client, StartNext());
        Assert.Equal(4 * (long)Page, (long)Assert.Single(client.Regions()).Length);
        Assert.Equal(contents[3 * Page], client.Client.ReadByte(at + (3 * Page)));
    }

    [Fact]
    public void Child_whose_descriptor_is_stored_and_whose_state_is_not_is_brought_up()
    {
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out byte[] contents));
        client.Client.Run("fork");
        ClientProcess child = Track(client.Client.AcceptChild());
        Eventually.True(() => Engine.Sessions().Count == 2, "the child's session");
        Session session = Engine.Sessions().Single(it => it.ParentId != 0);
        EndManager();
        Store.Lose(NameOf(session), IsState);
        foreach (SafeFd pidFd in Store.All(NameOf(session)).Where(IsPidFd).ToArray())
            Store.Lose(NameOf(session), descriptor => ReferenceEquals(descriptor, pidFd));
        Mapped(client, ledger => ledger.ForkedChild = session.Id);
        Acknowledge(client, new UffdMessage { Event = UffdEventKind.Fork, ForkFd = 1 });
        RestoreReport report = StartNext();
        Assert.Empty(report.Failures);
        Assert.Equal(contents[Page], child.ReadByte(at + Page));
        Assert.Equal(contents[Page], client.Client.ReadByte(at + Page));
        Assert.Contains(Engine.Sessions(), it => it.Id == session.Id && it.ParentId == client.Session.Id);
    }

    [Fact]
    public void Child_whose_descriptor_is_lost_is_killed_and_reads_no_zeros()
    {
        ServedClient client = Serve();
        client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out byte[] contents));
        client.Client.Run("fork");
        ClientProcess child = Track(client.Client.AcceptChild());
        Eventually.True(() => Engine.Sessions().Count == 2, "the child's session");
        Session session = Engine.Sessions().Single(it => it.ParentId != 0);
        EndManager();
        Store.Remove(NameOf(session));
        Mapped(client, ledger => ledger.ForkedChild = session.Id);
        Acknowledge(client, new UffdMessage { Event = UffdEventKind.Fork, ForkFd = 1 });
        RestoreReport report = StartNext();
        RestoreFailure failure = Assert.Single(report.Failures);
        Assert.Equal((child.Pid, true), (failure.Pid, failure.Killed));
        child.WaitForExit();
        client = Again(client, report);
        Assert.Equal(contents[Page], client.Client.ReadByte(client.Regions().First(region => region.Length == 4 * Page).Start + Page));
    }

    [Fact]
    public void Manager_that_lost_track_of_what_it_awaits_costs_the_client_its_life()
    {
        ServedClient client = Serve();
        client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out _));
        EndManager();
        Mapped(client, ledger => ledger.LacksAwaited = true);
        Assert.True(Assert.Single(StartNext().Failures).Killed);
        client.Client.WaitForExit();
    }

    [Fact]
    public void Client_that_was_to_be_killed_is_killed_by_the_successor()
    {
        ServedClient client = Serve();
        client.MapRegistered(Page, RandomFile((long)Page, 1, out _));
        EndManager();
        Mapped(client, ledger =>
        {
            SessionRecord record = ledger.Recover(ledger.Memory.FindUsed()).Record;
            ledger.Write(record with { IsCondemned = true });
        });
        StartNext();
        client.Client.WaitForExit();
    }

    [Fact]
    public void Pages_that_were_filled_and_not_noted_are_noted()
    {
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out byte[] contents));
        Assert.Equal(contents[0], client.Client.ReadByte(at));
        EndManager();
        Mapped(client, ledger =>
        {
            using PageTable table = new(ledger.Memory, new Policies.TenantUsage(), long.MaxValue);
            Assert.True(table.TrySet(at, PageState.InFlight | PageState.Waited));
        });
        client = Again(client, StartNext());
        Assert.Equal((long)Page, client.Status().ResidentBytes);
    }

    [Fact]
    public void Markers_of_write_protection_are_not_taken_for_pages()
    {
        ServedClient client = Serve();
        FileSource file = RandomFile(4 * (long)Page, 1, out byte[] contents);
        ulong at = client.MapRegistered(4 * Page, file, flags: RegionFlags.WriteProtected, modes: UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);
        Assert.Null(Engine.WriteProtectAsync(client.Session, at, 4 * Page, protect: true).Finish().Error);
        client = Again(client, Restart());
        Assert.Equal(0, client.Status().ResidentBytes);
        Assert.Equal(contents[Page], client.Client.ReadByte(at + Page));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Unmap_that_was_awaited_before_does_not_take_who_moved_in_since(bool twice)
    {
        ServedClient client = Serve();
        FileSource file = RandomFile(4 * (long)Page, 1, out byte[] contents);
        ulong at = client.MapRegistered(4 * Page, file);
        EndManager();
        Mapped(client, ledger => Assert.True(ledger.WriteAwaited([new AwaitedRange(at, at + (4 * Page), IsDisplaced: true)])));
        Acknowledge(client, new UffdMessage { Event = UffdEventKind.Unmap, Start = at, End = at + (4 * Page) });
        client = Again(client, StartNext());
        Assert.Equal(contents[Page], client.Client.ReadByte(at + Page));
        if (twice)
        {
            EndManager();
            client = Again(client, StartNext());
            Assert.Equal(contents[2 * Page], client.Client.ReadByte(at + (2 * Page)));
        }
    }

    private void MovePagesBack(ServedClient client, ulong from, ulong to) => Mapped(client, ledger =>
    {
        using PageTable table = new(ledger.Memory, new Policies.TenantUsage(), long.MaxValue);
        UsedBlocks used = ledger.Memory.FindUsed();
        ledger.Recover(used);
        table.Recover(used);
        ledger.Memory.Reclaim(used);
        for (ulong page = 0; page < 4 * Page; page += Page)
        {
            Assert.True(table.TrySet(to + page, table.Get(from + page)));
            Assert.True(table.TrySet(from + page, PageState.Absent));
        }
    });

    private void Acknowledge(ServedClient client, UffdMessage message) => Mapped(client, ledger => ledger.Inbox(1)[0] = message);

    private void Mapped(ServedClient client, Action<SessionLedger> change)
    {
        SafeMemfd copy = Store.Peek(NameOf(client.Session), IsState).Duplicate<SafeMemfd>();
        using SessionLedger ledger = new(StateMemory.Open(copy, new MemoryGauge()));
        change(ledger);
    }
}
