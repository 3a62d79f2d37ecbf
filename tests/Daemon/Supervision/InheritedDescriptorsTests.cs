using UffdManager.Daemon.Supervision;
using UffdManager.Engine.State;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

[Collection(SupervisionCollection.Name)]
public sealed class InheritedDescriptorsTests : IDisposable
{
    private const int Self = 4711;
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Descriptors_come_by_number_and_name_and_are_closed_with_their_owner()
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        List<int> numbers = [];
        using (InheritedDescriptors inherited = InheritedDescriptors.Parse("4711", "3", "native:session-7:session-7", Self, number =>
        {
            numbers.Add(number);
            return EventFd.Create().Duplicate<SafeFile>();
        }))
        {
            Assert.Empty(inherited.Problems);
            Assert.Equal([3, 4, 5], numbers);
            Assert.Equal(["native", "session-7", "session-7"], inherited.Names);
            Assert.True(inherited.HoldsSessions);
        }

        GC.Collect();
        GC.WaitForPendingFinalizers();
        watch.AssertUnchanged();
    }

    [Theory]
    [InlineData(null, null)]
    [InlineData("", "")]
    public void Nothing_comes_in_where_nothing_is_said(string? pid, string? count)
    {
        using InheritedDescriptors inherited = InheritedDescriptors.Parse(pid, count, null, Self, _ => throw new InvalidOperationException());
        Assert.Empty(inherited.Problems);
        Assert.Equal(0, inherited.Count);
    }

    [Theory]
    [InlineData("1", "3", "is 1 and this is process 4711")]
    [InlineData("", "3", "not a process")]
    [InlineData("0x1267", "3", "not a process")]
    [InlineData("-4711", "3", "not a process")]
    [InlineData("99999999999999999999", "3", "not a process")]
    [InlineData("4711", "", "not a number")]
    [InlineData("4711", "-1", "not a number")]
    [InlineData("4711", "3 ", "not a number")]
    [InlineData("4711", "1e3", "not a number")]
    [InlineData("4711", "2147483647", "not a number")]
    public void Garbage_is_named_and_no_descriptor_is_touched(string pid, string count, string problem)
    {
        using InheritedDescriptors inherited = InheritedDescriptors.Parse(pid, count, "a:b:c", Self, _ => throw new InvalidOperationException());
        Assert.Contains(problem, Assert.Single(inherited.Problems), StringComparison.Ordinal);
    }

    [Fact]
    public void Number_without_sense_ends_after_a_while_and_keeps_what_is_there()
    {
        int asked = 0;
        using InheritedDescriptors inherited = InheritedDescriptors.Parse("4711", "1000000000", null, Self, number =>
        {
            asked++;
            return number == 3 ? EventFd.Create().Duplicate<SafeFile>() : null;
        });
        Assert.Equal(1, inherited.Count);
        Assert.InRange(asked, 2, 5000);
        Assert.Contains("1000000000", inherited.Problems[^1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, new[] { "unknown", "unknown" }, 0)]
    [InlineData("", new[] { "unknown", "unknown" }, 0)]
    [InlineData("a", new[] { "a", "unknown" }, 1)]
    [InlineData("a:b:c", new[] { "a", "b" }, 1)]
    [InlineData(":b", new[] { "unknown", "b" }, 0)]
    public void Names_that_do_not_fit_leave_descriptors_unknown(string? names, string[] expected, int problems)
    {
        using InheritedDescriptors inherited = InheritedDescriptors.Parse("4711", "2", names, Self, _ => EventFd.Create().Duplicate<SafeFile>());
        Assert.Equal(expected, inherited.Names);
        Assert.Equal(problems, inherited.Problems.Count);
    }

    [Fact]
    public void Only_a_socket_that_listens_is_taken_as_one()
    {
        using SafeSocketFd listener = UnixSocket.Listen(_directory.Combine("s"), UnixSocketType.SeqPacket, 4, 0b110_000_000);
        using SafeSocketFd stream = UnixSocket.Listen(_directory.Combine("t"), UnixSocketType.Stream, 4, 0b110_000_000);
        using SafeEventFd other = EventFd.Create();
        Queue<SafeFd> given = new([other, stream, listener, listener]);
        using InheritedDescriptors inherited = InheritedDescriptors.Parse(
            "4711", "4", "native:native:native:native", Self, _ => given.Dequeue().Duplicate<SafeFile>());
        List<string> problems = [];
        inherited.TellProblemsTo(problems.Add);
        using SafeSocketFd? taken = inherited.TakeListener(InheritedDescriptors.Native, UnixSocketType.SeqPacket);
        Assert.NotNull(taken);
        Assert.Equal(_directory.Combine("s"), UnixSocket.TryGetLocalAddress(taken));
        Assert.Equal(2, problems.Count);
        Assert.All(problems, problem => Assert.Contains("not a listening SeqPacket socket", problem, StringComparison.Ordinal));
        Assert.Null(inherited.TakeListener(InheritedDescriptors.Control, UnixSocketType.Stream));
        Assert.Equal(3, inherited.Count);
    }

    [Fact]
    public void What_the_engine_stored_is_told_from_the_rest()
    {
        using InheritedDescriptors inherited = InheritedDescriptors.Parse(
            "4711", "6", "session-1:source-2:stranger:image-3:sessions:control", Self, _ => EventFd.Create().Duplicate<SafeFile>());
        IReadOnlyList<StoredDescriptor> stored = inherited.TakeStored();
        IReadOnlyList<StoredDescriptor> foreign = inherited.TakeForeign();
        Assert.Equal(["session-1", "source-2", "image-3"], stored.Select(descriptor => descriptor.Name));
        Assert.Equal(["stranger", "sessions", "control"], foreign.Select(descriptor => descriptor.Name));
        foreach (StoredDescriptor descriptor in stored.Concat(foreign))
            descriptor.Descriptor.Dispose();
        Assert.Equal(0, inherited.Count);
    }
}
