using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>What cannot be taken over costs its client the life, and nobody else anything.</summary>
public sealed class FailClosedTests : RestoreTest
{
    private ServedClient _victim = null!;
    private ServedClient _other = null!;
    private ulong _otherAt;
    private byte[] _contents = [];

    [Theory]
    [InlineData(StateLayout.BaseOfMagic)]
    [InlineData(StateLayout.BaseOfVersion)]
    [InlineData(StateLayout.BaseOfSessionId)]
    [InlineData(StateLayout.RootCell)]
    [InlineData(StateLayout.RootCell + 7)]
    [InlineData(StateLayout.RegionCell)]
    [InlineData(StateLayout.DocumentCell + 1)]
    [InlineData(StateLayout.ForkCell)]
    [InlineData(StateLayout.Blocks + 200)]
    public void State_memory_with_a_wrong_byte_kills_its_client_alone(int at)
    {
        Begin();
        Corrupt(at);
        AssertVictimIsKilled();
    }

    [Fact]
    public void Record_that_does_not_check_in_either_copy_kills_its_client_alone()
    {
        Begin();
        Corrupt(StateLayout.RecordA + 20);
        Corrupt(StateLayout.RecordB + 20);
        AssertVictimIsKilled();
    }

    [Fact]
    public void Byte_of_a_page_table_leaf_that_does_not_check_kills_its_client_alone()
    {
        Begin();
        Mapped(memory =>
        {
            nuint leaf = memory.Base + StateLayout.RootCell;
            for (int level = 0; level < 4; level++)
                leaf = memory.AddressOf(Enumerable.Range(0, level == 0 ? 1 : 512).Select(i => StateMemory.ReadCell(leaf + (nuint)(i * 8))).First(cell => cell != 0));
            int present = NativePages.AsSpan(leaf, 512).IndexOfAnyExcept((byte)0);
            NativePages.AsSpan(leaf, 512)[present] ^= 1;
        });
        AssertVictimIsKilled();
    }

    [Fact]
    public void State_of_a_newer_layout_is_refused_with_the_remedy()
    {
        Begin();
        Mapped(memory =>
        {
            NativePages.At<uint>(memory.Base + StateLayout.BaseOfVersion) = StateLayout.Version + 1;
            NativePages.At<uint>(memory.Base + StateLayout.BaseOfFixedCheck) = StateChecks.Crc(NativePages.AsSpan(memory.Base, StateLayout.FixedBytes));
        });
        Assert.Contains("newer build", AssertVictimIsKilled().Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Truncated_state_memory_kills_its_client_alone()
    {
        Begin();
        Store.Lose(NameOf(_victim.Session), IsState);
        using SafeMemfd small = Memfd.Create("uffd-manager:session", MemfdFlags.AllowSealing);
        Memfd.Truncate(small, 4096);
        Store.TryStore(NameOf(_victim.Session), [small]);
        AssertVictimIsKilled();
    }

    [Fact]
    public void Missing_state_memory_kills_its_client_alone()
    {
        Begin();
        Store.Lose(NameOf(_victim.Session), IsState);
        AssertVictimIsKilled();
    }

    [Fact]
    public void Missing_userfaultfd_kills_its_client_alone()
    {
        Begin();
        Store.Lose(NameOf(_victim.Session), Userfaultfd.IsUserfaultfd);
        AssertVictimIsKilled();
    }

    [Fact]
    public void Missing_source_kills_its_client_alone()
    {
        Begin();
        Store.Remove("source-1");
        Assert.Contains("source 1", AssertVictimIsKilled().Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Source_that_became_another_file_kills_its_client_alone()
    {
        Begin();
        Store.Remove("source-1");
        using SafeFile another = FileIo.Open(Temp.WriteFile("another", new byte[8 * 4096]), OpenFlags.ReadOnly);
        Store.TryStore("source-1", [another]);
        AssertVictimIsKilled();
    }

    [Fact]
    public void Descriptor_too_many_kills_its_client_alone()
    {
        Begin();
        using SafeUffd another = Userfaultfd.Open();
        Store.TryStore(NameOf(_victim.Session), [another]);
        Assert.Contains("too many", AssertVictimIsKilled().Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Process_descriptor_of_somebody_else_costs_him_nothing()
    {
        Begin();
        using ClientProcess innocent = ClientProcess.Start();
        Store.TryStore(NameOf(_victim.Session), [innocent.Handle]);
        AssertVictimIsKilled();
        Assert.False(innocent.HasExited);
    }

    [Fact]
    public void State_of_another_session_kills_its_client_alone()
    {
        Begin();
        Store.Lose(NameOf(_victim.Session), IsState);
        Store.TryStore(NameOf(_victim.Session), [Store.Peek(NameOf(_other.Session), IsState)]);
        AssertVictimIsKilled();
    }

    [Fact]
    public void Missing_process_descriptor_is_opened_anew()
    {
        Begin();
        Store.Lose(NameOf(_victim.Session), IsPidFd);
        RestoreReport report = StartNext();
        Assert.Empty(report.Failures);
        Assert.Equal(2, report.Sessions.Count);
    }

    [Fact]
    public void Client_that_nobody_knows_gets_poison_and_no_zeros()
    {
        Begin();
        Store.Lose(NameOf(_victim.Session), IsState);
        Store.Lose(NameOf(_victim.Session), IsPidFd);
        RestoreReport report = StartNext();
        Assert.False(Assert.Single(report.Failures).Killed);
        AssertOtherGoesOn(report);
        ClientReply reply = _victim.Client.Try($"read {_victimAt + 4096}");
        Assert.False(reply.Succeeded, "the page that nobody can fill was read");
    }

    [Fact]
    public void Thread_that_waits_while_nobody_knows_its_client_gets_an_end_and_so_it_stays_over_restarts()
    {
        Begin();
        Store.Lose(NameOf(_victim.Session), IsState);
        Store.Lose(NameOf(_victim.Session), IsPidFd);
        PendingReply waiting = _victim.Client.Begin($"read {_victimAt + 4096}", 1);
        RestoreReport report = StartNext();
        Assert.False(waiting.Await().Succeeded);
        AssertOtherGoesOn(report);
        report = Restart();
        Assert.Contains(NameOf(_victim.Session), Store.Names);
        Assert.False(_victim.Client.Try($"read {_victimAt + 8192}", 2).Succeeded);
    }

    [Fact]
    public void Descriptors_of_nobody_are_closed_and_counted()
    {
        Begin();
        using SafeFile file = FileIo.Open(Temp.WriteFile("stray", new byte[1]), OpenFlags.ReadOnly);
        Store.TryStore("what-is-this", [file]);
        Store.TryStore("session-x", [file]);
        RestoreReport report = StartNext();
        Assert.Equal(2, report.Foreign);
        Assert.Equal(2, report.Sessions.Count);
        Store.Remove("what-is-this");
        Store.Remove("session-x");
    }

    private ulong _victimAt;

    private void Begin()
    {
        _victim = Serve();
        _other = Serve();
        _victimAt = _victim.MapRegistered(8 * 4096, RandomFile(8 * 4096, 1, out _));
        _otherAt = _other.MapRegistered(8 * 4096, RandomFile(8 * 4096, 2, out _contents));
        _victim.Client.ReadByte(_victimAt);
        _other.Client.ReadByte(_otherAt);
        EndManager();
    }

    private void Corrupt(int at) => Mapped(memory => NativePages.At<byte>(memory.Base + (nuint)at) ^= 0x10);

    private void Mapped(Action<StateMemory> change)
    {
        SafeMemfd copy = Store.Peek(NameOf(_victim.Session), IsState).Duplicate<SafeMemfd>();
        using StateMemory memory = StateMemory.Open(copy, new MemoryGauge());
        change(memory);
    }

    private RestoreFailure AssertVictimIsKilled()
    {
        RestoreReport report = StartNext();
        RestoreFailure failure = Assert.Single(report.Failures);
        Assert.Equal(_victim.Session.Id, failure.SessionId);
        Assert.True(failure.Killed, failure.Reason);
        _victim.Client.WaitForExit();
        AssertOtherGoesOn(report);
        return failure;
    }

    private void AssertOtherGoesOn(RestoreReport report)
    {
        ServedClient other = Again(_other, report);
        Assert.Equal(_contents[4096], other.Client.ReadByte(_otherAt + 4096));
    }
}
