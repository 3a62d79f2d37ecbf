using UffdManager.Daemon.Supervision;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

[Collection(SupervisionCollection.Name)]
public sealed class NotifySocketTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Messages_arrive_in_order_at_an_abstract_name_and_at_a_path(bool isAbstract)
    {
        using FakeServiceManager manager = new(address: isAbstract ? null : _directory.Combine("notify"));
        using NotifySocket socket = new(manager.Address);
        Assert.True(socket.IsOpen);
        for (int i = 0; i < 10; i++)
            Assert.NotEqual(NotifyOutcome.Refused, socket.Send($"STATUS={i}"));
        manager.WaitFor(message => message.Text == "STATUS=9", "the last message");
        Assert.Equal(Enumerable.Range(0, 10).Select(i => $"STATUS={i}"), manager.Messages.Select(message => message.Text));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    public void Without_a_service_manager_nothing_is_sent_and_nothing_is_said(string? address)
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        using NotifySocket socket = new(address);
        socket.TellProblemsTo(problem => Assert.Fail(problem));
        Assert.False(socket.IsOpen);
        Assert.Equal(NotifyOutcome.Refused, socket.Send("READY=1"));
        watch.AssertUnchanged();
    }

    [Theory]
    [InlineData("vsock:2:1234")]
    [InlineData("relative/path")]
    public void Address_of_another_kind_is_named_once_and_nothing_is_sent(string address)
    {
        using NotifySocket socket = new(address);
        List<string> problems = [];
        socket.TellProblemsTo(problems.Add);
        Assert.Equal(NotifyOutcome.Refused, socket.Send("READY=1"));
        Assert.Contains(address, Assert.Single(problems), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Full_socket_makes_messages_wait_and_keeps_their_order_and_descriptors()
    {
        using FakeServiceManager manager = new();
        using NotifySocket socket = new(manager.Address);
        socket.Send("STATUS=first");
        manager.WaitFor(message => message.Text == "STATUS=first", "the first message");
        manager.Pause(true);
        int sent = 0;
        while (socket.Send($"STATUS={sent++}") == NotifyOutcome.Sent)
        {
        }

        // The descriptor is the sender's to close at once, although its message has not gone.
        using (SafeEventFd descriptor = EventFd.Create())
        {
            EventFd.Signal(descriptor);
            Assert.Equal(NotifyOutcome.Queued, socket.Send("FDSTORE=1\nFDNAME=late\nFDPOLL=0", [descriptor]));
        }

        Assert.Equal(NotifyOutcome.Queued, socket.Send("STATUS=last"));
        Assert.True(socket.QueueLength >= 2);
        Assert.False(await socket.FlushAsync(TimeSpan.FromMilliseconds(50)));
        manager.Pause(false);
        Assert.True(await socket.FlushAsync(TimeSpan.FromSeconds(20)));
        manager.WaitFor(message => message.Text == "STATUS=last", "the last message");
        Assert.Equal(0, socket.QueueLength);
        string[] expected = ["STATUS=first", .. Enumerable.Range(0, sent).Select(i => $"STATUS={i}"), "FDSTORE=1\nFDNAME=late\nFDPOLL=0", "STATUS=last"];
        Assert.Equal(expected, manager.Messages.Select(message => message.Text));
        (string name, SafeFd kept) = Assert.Single(manager.Lend());
        using SafeFd lent = kept;
        using FdLease lease = lent.Lease();
        Assert.Equal("late", name);
        Assert.True(FdPoll.WaitReadable(lease, TimeSpan.Zero));

        // With room again, messages take the short way.
        Assert.Equal(NotifyOutcome.Sent, socket.Send("STATUS=after"));
    }

    [Fact]
    public void Message_that_need_not_wait_is_known_before_it_is_sent()
    {
        using FakeServiceManager manager = new();
        using NotifySocket socket = new(manager.Address);
        manager.Pause(true);
        Assert.True(socket.IsPrompt);
        while (socket.IsPrompt)
            Assert.Equal(NotifyOutcome.Sent, socket.Send("STATUS=x"));
        Assert.Equal(0, socket.QueueLength);
        Assert.True(socket.IsSettled);

        // The kernel tells of room before the last of it is used up.
        while (socket.Send("STATUS=between") == NotifyOutcome.Sent)
        {
        }

        Assert.Equal(NotifyOutcome.Queued, socket.Send("STATUS=behind"));
        Assert.False(socket.IsPrompt);
        Assert.False(socket.IsSettled);
        manager.Pause(false);
        manager.WaitFor(message => message.Text == "STATUS=behind", "the last message");
        Eventually.True(() => socket.IsPrompt, "room");
        Assert.True(socket.IsSettled);
    }

    // Room for one is room for anybody's one: what was true when it was asked need not be when it is sent.
    [Fact]
    public void Message_that_waits_because_somebody_else_has_used_up_the_room_is_known_afterwards()
    {
        using FakeServiceManager manager = new();
        using NotifySocket socket = new(manager.Address);
        Assert.Equal(NotifyOutcome.Sent, socket.Send("STATUS=first"));
        Eventually.True(() => socket.IsPrompt, "room");
        manager.Fill();
        using SafeEventFd descriptor = EventFd.Create();
        SystemdDescriptorStore store = new(socket, null, ["session-9"]);
        Assert.True(store.IsPrompt);
        Assert.True(store.TryStore("session-1", [descriptor]));
        Assert.False(store.IsSettled);
        manager.Drain();
        manager.WaitForName("session-1");
        Eventually.True(() => store.IsSettled, "the queue to be empty");
    }

    [Fact]
    public void Queue_is_bounded_says_so_once_and_takes_vital_messages_all_the_same()
    {
        using FakeServiceManager manager = new();
        manager.Pause(true);
        using NotifySocket socket = new(manager.Address);
        List<string> problems = [];
        socket.TellProblemsTo(problems.Add);
        int refused = 0;
        for (int i = 0; i < 2 * NotifySocket.MaxQueued && refused < 5; i++)
            refused += socket.Send("STATUS=x") == NotifyOutcome.Refused ? 1 : 0;
        Assert.Equal(5, refused);
        Assert.InRange(socket.QueueLength, NotifySocket.MaxQueued - 1, NotifySocket.MaxQueued);
        Assert.Contains("does not read", Assert.Single(problems), StringComparison.Ordinal);
        Assert.Equal(NotifyOutcome.Queued, socket.Send("FDSTOREREMOVE=1\nFDNAME=x", isVital: true));
    }

    [Fact]
    public void Service_manager_that_goes_away_is_lost_with_what_it_kept_and_told_once()
    {
        FakeServiceManager manager = new();
        using NotifySocket socket = new(manager.Address);
        List<string> problems = [];
        socket.TellProblemsTo(problems.Add);
        Assert.Equal(NotifyOutcome.Sent, socket.Send("READY=1"));
        manager.Dispose();
        Assert.Equal(NotifyOutcome.Refused, socket.Send("STATUS=x"));
        Assert.Equal(NotifyOutcome.Refused, socket.Send("STATUS=y"));
        Assert.True(socket.IsLost);
        Assert.False(socket.IsOpen);
        Assert.Contains("is lost", Assert.Single(problems), StringComparison.Ordinal);
    }

    [Fact]
    public void Socket_that_is_bound_anew_is_found_again()
    {
        string address = _directory.Combine("notify");
        FakeServiceManager first = new(address: address);
        using NotifySocket socket = new(address);
        Assert.Equal(NotifyOutcome.Sent, socket.Send("READY=1"));
        first.Dispose();
        File.Delete(address);
        using FakeServiceManager second = new(address: address);
        Assert.Equal(NotifyOutcome.Sent, socket.Send("STATUS=again"));
        second.WaitFor(message => message.Text == "STATUS=again", "the message");
        Assert.False(socket.IsLost);
    }

    [Fact]
    public void Disposal_with_messages_waiting_closes_their_descriptors()
    {
        using FakeServiceManager manager = new();
        manager.Pause(true);
        DescriptorWatch watch = DescriptorWatch.Start();
        using (NotifySocket socket = new(manager.Address))
        using (SafeEventFd descriptor = EventFd.Create())
        {
            while (socket.Send("STATUS=x") == NotifyOutcome.Sent)
            {
            }

            for (int i = 0; i < 20; i++)
                Assert.Equal(NotifyOutcome.Queued, socket.Send("FDSTORE=1\nFDNAME=x", [descriptor]));
        }

        watch.AssertUnchanged();
    }
}
