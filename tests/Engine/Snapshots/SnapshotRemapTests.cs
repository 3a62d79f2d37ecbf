using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>
/// Memory that goes while a snapshot is taken, and what is mapped and registered in its place: a read that was meant for the former must leave nothing in the latter.
/// </summary>
public sealed class SnapshotRemapTests : HaltedSnapshotTest
{
    private const ulong Length = 8 * Page;

    [Theory]
    [InlineData("munmap {0} {1}")]
    [InlineData("mremap {0} {1} 16777216")]
    public void Range_that_a_read_has_put_pages_into_is_not_registered(string command)
    {
        (ServedClient it, ulong range, ScriptedSource source, RunningSnapshot snapshot) = Remapped(command);
        ReadAsTheSnapshotDoes(it, range + Page);

        EngineError? refusal = it.TryRegister(range, Length, source).Error;
        Assert.Equal((EngineErrorKind.State, Errno.EAGAIN), (refusal!.Kind, refusal.Errno));
        Assert.Contains("map it once more", refusal.Text, StringComparison.Ordinal);

        it.Client.Run($"mapfixed {range} {Length}");
        it.Register(range, Length, source);
        it.AssertHolds(range, Length, source);
        ReleaseBases();
        Assert.NotNull(snapshot.Report().Error);
    }

    // What is read of a file's memory is in the file from then on, private mappings included, and in whatever is mapped of it next.
    [Fact]
    public void File_in_which_a_read_has_left_pages_is_registered_when_they_were_given_back_there()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(Serve(policy: Zero));
        ulong range = at + (Unsaved * Page);
        ScriptedSource source = Scripted((long)Length, seed: 5);
        it.Client.Run($"munmap {range} {Length}");
        (ulong mapped, int number) = it.Client.Map("memfd-private", Length);
        it.Client.Run($"mremap {mapped} {Length} {Length} {range}");
        ReadAsTheSnapshotDoes(it, range + Page);
        EngineError? refusal = it.TryRegister(range, Length, source).Error;
        Assert.Equal(Errno.EAGAIN, refusal?.Errno);
        Assert.Contains("FALLOC_FL_PUNCH_HOLE", refusal!.Text, StringComparison.Ordinal);

        using SafeFile file = FileIo.Open($"/proc/{it.Client.Pid}/fd/{number}", OpenFlags.ReadOnly);
        it.Client.Run($"munmap {range} {Length}");
        Assert.Equal((long)Page, FileIo.SeekData(file, 0));
        it.Client.Run($"punch {number} 0 {Length}");
        Assert.True(FileIo.SeekData(file, 0) < 0);
        ulong anew = it.Client.Run($"mapfd {number} 0 {Length} 0 3");
        it.Client.Run($"mremap {anew} {Length} {Length} {range}");
        it.Register(range, Length, source);
        it.AssertHolds(range, Length, source);
        ReleaseBases();
        Assert.NotNull(snapshot.Report().Error);
    }

    [Fact]
    public void What_a_snapshot_has_left_is_heeded_after_its_end_and_under_the_next_one()
    {
        (ServedClient it, ulong range, ScriptedSource source, RunningSnapshot snapshot) = Remapped();
        ReadAsTheSnapshotDoes(it, range);
        ReleaseBases();
        Assert.NotNull(snapshot.Report().Error);
        _ = Take(it);
        Assert.Equal(Errno.EAGAIN, it.TryRegister(range, Length, source).Error?.Errno);

        // It has been told, and the client's page map is kept open for nothing else.
        Assert.Null(it.Session.Reads);
        it.Client.Run($"mapfixed {range} {Length}");
        it.Register(range, Length, source);
        it.AssertHolds(range, Length, source);
    }

    [Fact]
    public void Range_that_nothing_was_put_into_is_registered_and_zeros_are_as_good_as_any()
    {
        (ServedClient it, ulong range, ScriptedSource source, RunningSnapshot snapshot) = Remapped(length: 2 * Length);
        it.Register(range, Length, source);
        it.AssertHolds(range, Length, source);
        ReadAsTheSnapshotDoes(it, range + Length);
        it.Register(range + Length, Length);
        it.AssertZero(range + Length, Length);
        ReleaseBases();
        Assert.NotNull(snapshot.Report().Error);

        // Nothing is noted when no snapshot is taken.
        it.Client.Run($"munmap {range} {Length}");
        it.Client.Run($"mapfixed {range} {Length}");
        ReadAsTheSnapshotDoes(it, range);
        it.Register(range, Length, source);
        Assert.Null(it.Session.Reads);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Rest_of_a_range_is_heeded_when_a_part_of_it_has_been_registered(bool isZero)
    {
        (ServedClient it, ulong range, ScriptedSource source, RunningSnapshot snapshot) = Remapped(length: 3 * Length);
        ReadAsTheSnapshotDoes(it, range);
        ReadAsTheSnapshotDoes(it, range + (3 * Length) - Page);
        it.Register(range + Length, Length, isZero ? null : source);
        Assert.Equal(Errno.EAGAIN, it.TryRegister(range, Length, source).Error?.Errno);
        Assert.Equal(Errno.EAGAIN, it.TryRegister(range + (2 * Length), Length, source).Error?.Errno);
        it.Client.Run($"mapfixed {range} {Length}");
        it.Register(range, Length, source);
        it.AssertHolds(range, Length, source);
        ReleaseBases();
        Assert.NotNull(snapshot.Report().Error);
    }

    [Fact]
    public void Range_that_goes_under_a_snapshot_of_one_session_is_not_registered_by_another_one_of_the_same_memory()
    {
        (ServedClient it, ulong range, ScriptedSource source, RunningSnapshot snapshot) = Remapped();
        ServedClient other = Serve(it.Client, policy: Zero);
        ReadAsTheSnapshotDoes(it, range);
        Assert.Equal(Errno.EAGAIN, other.TryRegister(range, Length, source).Error?.Errno);
        it.Client.Run($"mapfixed {range} {Length}");
        other.Register(range, Length, source);
        other.AssertHolds(range, Length, source);
        ReleaseBases();
        Assert.NotNull(snapshot.Report().Error);
    }

    [Fact]
    public void Range_that_goes_under_two_snapshots_is_heeded_until_both_are_over()
    {
        (ServedClient it, ulong range, ScriptedSource source, RunningSnapshot snapshot) = Remapped();
        ServedClient other = Serve(it.Client, policy: Zero);
        other.Client.Run($"fill {other.MapRegistered(Pages * Page)} {Pages * Page} 1");
        RunningSnapshot second = Halt(other);
        ClientReads reads = it.Session.Reads!;
        ReleaseFirstBase();
        Assert.NotNull(snapshot.Report().Error);
        Assert.Same(reads, other.Session.Reads);
        ReadAsTheSnapshotDoes(it, range);
        Assert.Equal(Errno.EAGAIN, it.TryRegister(range, Length, source).Error?.Errno);
        ReleaseBases();
        Assert.Null(second.Report().Error);
        Assert.Null(it.Session.Reads);
    }

    [Fact]
    public void Range_that_goes_under_a_snapshot_is_not_registered_by_a_child_that_was_forked_then()
    {
        (ServedClient it, ulong range, ScriptedSource source, RunningSnapshot snapshot) = Remapped();
        ReadAsTheSnapshotDoes(it, range);
        it.Client.Run("fork");
        ClientProcess process = Track(it.Client.AcceptChild());

        // By its fault it is known who it is.
        ulong missing = range - Page;
        process.Run($"madvise {missing} {Page} 4");
        Assert.Equal(0, process.ReadByte(missing));
        Session session = Engine.Sessions().Single(known => known.ParentId == it.Session.Id);
        Assert.NotEqual(0, session.Pid);
        ServedClient child = it with { Client = process, Session = session };
        Assert.Equal(Errno.EAGAIN, child.TryRegister(range, Length, source).Error?.Errno);
        process.Run($"mapfixed {range} {Length}");
        child.Register(range, Length, source);
        child.AssertHolds(range, Length, source);
        ReleaseBases();
        Assert.NotNull(snapshot.Report().Error);
    }

    [Fact]
    public void Range_that_nothing_was_put_into_is_no_longer_heeded_when_the_snapshot_is_over()
    {
        (ServedClient it, ulong range, ScriptedSource source, RunningSnapshot snapshot) = Remapped();
        ReleaseBases();
        Assert.NotNull(snapshot.Report().Error);

        // What is there from here on the client has written itself.
        Assert.Null(it.Session.Reads);
        it.Client.Run($"fill {range} {Page} 9");
        it.Register(range, Length, source);
        Assert.Equal(9, it.Client.ReadByte(range));
        Assert.Equal(source.ByteOf((long)Page), it.Client.ReadByte(range + Page));
    }

    [Fact]
    public void Client_that_dies_when_ranges_have_gone_is_all_that_is_told()
    {
        (ServedClient it, ulong range, _, RunningSnapshot snapshot) = Remapped();
        ReadAsTheSnapshotDoes(it, range);
        it.Client.Kill();
        Eventually.True(() => it.Session.State == SessionState.Ended, "the session to end");
        AssertEnded(snapshot, Errno.ECANCELED, "unmapped");
    }

    [Fact]
    public void However_many_ranges_go_what_lies_far_from_them_is_not_heeded()
    {
        using ClientReads reads = new(PagemapScan.OpenPagemap(Environment.ProcessId));
        Assert.Same(reads, reads.Join(null));
        const ulong Far = 1UL << 40;
        for (ulong i = 0; i < 100; i++)
        {
            reads.NoteGone(i * 2 * Page, ((i * 2) + 1) * Page);
            reads.NoteGone(Far + (i * 2 * Page), Far + (((i * 2) + 1) * Page));
        }

        for (ulong i = 0; i < 100; i++)
        {
            Assert.True(reads.Touch(i * 2 * Page, (i * 2 * Page) + Page));
            Assert.True(reads.Touch(Far + (i * 2 * Page), Far + (i * 2 * Page) + Page));
        }

        Assert.False(reads.Touch(200 * Page, Far));
        Assert.False(reads.Touch(Far + (200 * Page), 2 * Far));
        reads.Forget(0, Far);
        Assert.False(reads.Touch(0, Far));
        Assert.False(reads.IsEmpty);
    }

    [Fact]
    public void Range_is_registered_when_a_read_that_is_under_way_is_over()
    {
        // Longer than the test, on any machine.
        Options = Options with { RegisterPatience = TimeSpan.FromDays(1) };
        (ServedClient it, ulong range, ScriptedSource source, RunningSnapshot snapshot) = Remapped(isRead: true);
        ClientReads reads = it.Session.Reads!;
        Task<EngineResult> register = Engine.RegisterAsync(it.Session, new RegisterRequest
        {
            Start = range,
            Length = Length,
            Modes = UffdRegisterModes.Missing,
            Policy = it.Session.DefaultPolicy,
            Source = source,
        });
        Engine.PingAsync().Finish();
        Assert.False(register.IsCompleted);
        reads.Leave();
        Assert.Null(register.Finish().Error);
        it.AssertHolds(range, Length, source);
        ReleaseBases();
        Assert.NotNull(snapshot.Report().Error);
    }

    [Fact]
    public void Read_that_does_not_end_lets_no_range_in()
    {
        (ServedClient it, ulong range, ScriptedSource source, RunningSnapshot snapshot) = Remapped(isRead: true);
        ClientReads reads = it.Session.Reads!;
        Assert.Equal(Errno.EAGAIN, it.TryRegister(range, Length, source).Error?.Errno);
        ReadAsTheSnapshotDoes(it, range);
        reads.Leave();
        Assert.Equal(Errno.EAGAIN, it.TryRegister(range, Length, source).Error?.Errno);
        ReleaseBases();
        Assert.NotNull(snapshot.Report().Error);
    }

    // A snapshot stands still, a range that it has not read yet has gone, and something else is mapped there; a read of the reader's may be under way meanwhile.
    private (ServedClient It, ulong Range, ScriptedSource Source, RunningSnapshot Snapshot) Remapped(string command = "munmap {0} {1}", ulong length = Length, bool isRead = false)
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(Serve(policy: Zero));
        ulong range = at + (Unsaved * Page);
        if (isRead)
            it.Session.Reads!.Enter();
        it.Client.Run(string.Format(command, range, length));
        it.Client.Run($"mapfixed {range} {length}");
        return (it, range, Scripted((long)Length, seed: 5), snapshot);
    }

    // The kernel puts a page there for whoever asks, because nobody is registered.
    private static void ReadAsTheSnapshotDoes(ServedClient it, ulong page)
    {
        using SafeFile memory = FileIo.Open($"/proc/{it.Client.Pid}/mem", OpenFlags.ReadOnly);
        Span<byte> contents = stackalloc byte[1];
        Assert.Equal(Errno.OK, FileIo.Read(memory, contents, (long)page, out _));
        Assert.Equal(0, contents[0]);
    }
}
