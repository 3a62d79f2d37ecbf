using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>What a successor knows.</summary>
public sealed class RestoreTests : RestoreTest
{
    [Fact]
    public void Session_is_served_on_with_its_source_and_with_what_it_gave_back()
    {
        ServedClient client = Serve();
        FileSource file = RandomFile(8 * (long)Page, 1, out byte[] contents);
        ulong at = client.MapRegistered(8 * Page, file);
        Assert.Equal(contents[0], client.Client.ReadByte(at));
        client.Client.Run($"madvise {at + Page} {Page} 4");
        Eventually.True(() => client.Status().Faults >= 1, "the fault");
        RestoreReport report = Restart();
        Assert.Empty(report.Failures);
        Assert.Equal(0, report.Foreign);
        client = Again(client, report);
        Assert.Equal(0, client.Client.ReadByte(at + Page));
        for (ulong page = 2; page < 8; page++)
            Assert.Equal(contents[page * Page], client.Client.ReadByte(at + (page * Page)));
        Assert.Equal(contents[0], client.Client.ReadByte(at));
    }

    [Fact]
    public void Thread_that_waited_for_the_dead_manager_is_served_by_the_next()
    {
        ServedClient client = Serve();
        ulong at = client.MapRegistered(2 * Page, RandomFile(2 * (long)Page, 1, out byte[] contents));
        EndManager();
        PendingReply waiting = client.Client.Begin($"read {at + Page}", 1);
        StartNext();
        Assert.Equal(contents[Page], waiting.AwaitValue());
    }

    [Fact]
    public void Record_of_the_owner_tags_and_numbers_come_back()
    {
        ServedClient client = Serve();
        FileSource file = RandomFile((long)Page, 1, out _);
        file.OwnerTag = "alice's file";
        client.MapRegistered(Page, file);
        Engine.SetOwnerRecordAsync(client.Session, new byte[] { 1, 2, 3 }).Finish();
        RestoreReport report = Restart();
        RestoredSession restored = Assert.Single(report.Sessions);
        Assert.Equal([1, 2, 3], restored.OwnerRecord.ToArray());
        Assert.Equal("alice's file", Assert.Single(RestoredSources).Tag);
        Assert.Equal((client.Session.Id, client.Session.Pid, client.Session.Label, client.Session.StartedAt),
            (restored.Session.Id, restored.Session.Pid, restored.Session.Label, restored.Session.StartedAt));
        ServedClient later = Serve();
        Assert.True(later.Session.Id > restored.Session.Id);
    }

    [Fact]
    public void Policy_of_a_region_is_as_it_was_registered()
    {
        Policy policy = new()
        {
            Name = "own",
            Version = 7,
            Source = RandomFile(4 * (long)Page, 3, out byte[] contents),
            FaultAroundBytes = 8192,
            OnUnavailable = Verdict.Poison,
            Deadline = TimeSpan.FromSeconds(3),
            RetryBackoff = TimeSpan.FromMilliseconds(7),
            BusyPoll = TimeSpan.FromMicroseconds(9),
        };
        ServedClient client = Serve(policy: policy);
        ulong at = client.MapRegistered(4 * Page);
        client = Again(client, Restart());
        Policy restored = client.Session.DefaultPolicy;
        Assert.Equal(policy with { Source = restored.Source }, restored);
        ulong even = PageSize.AlignUp(at, 2 * Page);
        Assert.Equal(contents[even - at], client.Client.ReadByte(even));
        Assert.Equal(2 * (long)Page, client.Status().CopiedBytes);
        client.MapRegistered(Page);
    }

    [Fact]
    public void Moves_cuts_and_forks_from_before_hold_after()
    {
        ServedClient client = Serve();
        FileSource file = RandomFile(16 * (long)Page, 1, out byte[] contents);
        ulong at = client.MapRegistered(16 * Page, file);
        ulong moved = client.Client.Run($"mremap {at} {4 * Page} {4 * Page} 0");
        client.Client.Run($"munmap {at + (6 * Page)} {2 * Page}");
        Eventually.True(() => client.Regions().Sum(region => (long)region.Length) == 14 * (long)Page, "the events");
        client = Again(client, Restart());
        for (ulong page = 0; page < 16; page++)
        {
            if (page is 6 or 7)
                continue;
            ulong address = page < 4 ? moved + (page * Page) : at + (page * Page);
            Assert.Equal(contents[page * Page], client.Client.ReadByte(address));
        }
    }

    [Fact]
    public void Forked_children_go_on_beside_their_parents()
    {
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out byte[] contents));
        Assert.Equal(contents[0], client.Client.ReadByte(at));
        client.Client.Run("fork");
        ClientProcess child = Track(client.Client.AcceptChild());
        Eventually.True(() => Engine.Sessions().Count == 2, "the child's session");
        RestoreReport report = Restart();
        Assert.Equal(2, report.Sessions.Count);
        Assert.Equal(contents[Page], child.ReadByte(at + Page));
        Assert.Equal(contents[2 * Page], client.Client.ReadByte(at + (2 * Page)));
        Assert.Equal(contents[3 * Page], child.ReadByte(at + (3 * Page)));
        Session restored = report.Sessions.Single(it => it.Session.ParentId != 0).Session;
        Assert.Equal(client.Session.Id, restored.ParentId);
    }

    [Fact]
    public void Client_that_ended_meanwhile_leaves_nothing()
    {
        ServedClient client = Serve();
        client.MapRegistered(Page, RandomFile((long)Page, 1, out _));
        EndManager();
        client.Client.Kill();
        client.Client.WaitForExit();
        RestoreReport report = StartNext();
        Assert.Equal(1, report.Gone);
        Assert.Empty(report.Sessions);
        Assert.Empty(report.Failures);
        Eventually.True(() => Store.Names.Count == 0, "the store to be empty");
    }

    [Fact]
    public void Store_is_empty_when_all_sessions_are_over()
    {
        ServedClient client = Serve();
        client.MapRegistered(Page, RandomFile((long)Page, 1, out _));
        Assert.Equal([NameOf(client.Session), "source-1"], Store.Names);
        client.Client.Kill();
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of the session");
        Assert.DoesNotContain(NameOf(client.Session), Store.Names);
    }

    [Fact]
    public void Poisoned_pages_stay_poisoned_and_write_protection_stays_armed()
    {
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);
        client.Client.WriteByte(at, 7);
        Assert.Null(Engine.WriteProtectAsync(client.Session, at, 4 * Page, protect: true).Finish().Error);
        client = Again(client, Restart());
        Assert.Contains(client.Regions(), region => (region.Flags & RegionFlags.WriteProtected) != 0);
        client.Client.WriteByte(at, 8);
        Assert.Equal(8, client.Client.ReadByte(at));
        Assert.True(client.Status().Faults >= 1);
    }

    [Fact]
    public void Session_that_finds_no_room_in_the_store_is_refused_with_the_remedy()
    {
        Store.IsFull = true;
        ClientProcess client = StartClient();
        AttachResult result = Attach(client, client.OpenUffd());
        Assert.Equal(EngineErrorKind.Limit, result.Error!.Kind);
        Assert.Contains("FileDescriptorStoreMax", result.Error.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Forked_child_that_finds_no_room_in_the_store_is_killed_where_zeros_would_be_wrong()
    {
        ServedClient parent = Serve();
        ulong at = parent.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out byte[] contents));
        Store.IsFull = true;
        parent.Client.Run("fork");
        ClientProcess child = Track(parent.Client.AcceptChild());
        ForkRefused refused = WaitForEvent<ForkRefused>();
        Assert.False(refused.Released);
        Assert.Contains("FileDescriptorStoreMax", refused.Why, StringComparison.Ordinal);
        _ = child.Begin($"read {at}", 1);
        child.WaitForExit();
        WaitForEvent<SessionEnded>(e => e.Session.ParentId == parent.Session.Id);
        Assert.Equal(contents[Page], parent.Client.ReadByte(at + Page));
        Store.IsFull = false;
    }

    [Fact]
    public void Many_restarts_in_a_row_change_nothing()
    {
        ServedClient client = Serve();
        FileSource file = RandomFile(64 * (long)Page, 1, out byte[] contents);
        ulong at = client.MapRegistered(64 * Page, file);
        for (ulong page = 0; page < 64; page++)
        {
            Assert.Equal(contents[page * Page], client.Client.ReadByte(at + (page * Page)));
            if (page % 8 == 7)
                client = Again(client, Restart());
        }

        Assert.Equal(64 * (long)Page, client.Status().ResidentBytes);
    }
}
