using UffdManager.Daemon.Supervision;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

[Collection(SupervisionCollection.Name)]
public sealed class DescriptorStoreTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Probe_finds_a_store_that_keeps_and_leaves_nothing_in_it()
    {
        using FakeServiceManager manager = new(keeps: true);
        using NotifySocket socket = new(manager.Address);
        socket.Send("STATUS=connected");
        DescriptorWatch watch = DescriptorWatch.Start();
        SystemdDescriptorStore store = new(socket, capacity: null, inherited: []);
        Assert.Equal(StoreState.Unknown, store.State);
        Assert.False(store.IsKept);
        Assert.Equal(StoreState.Keeps, await store.ProbeAsync(s_patience));
        Assert.True(store.IsKept);
        manager.WaitFor(message => message.Has("FDSTOREREMOVE=1"), "the end of the probe");
        Eventually.True(() => manager.Names.Count == 0, "an empty store");
        Assert.Equal(
            ["STATUS=connected", "FDSTORE=1\nFDNAME=probe\nFDPOLL=0", "BARRIER=1", "FDSTOREREMOVE=1\nFDNAME=probe"],
            manager.Messages.Select(message => message.Text));
        watch.AssertUnchanged();
    }

    [Fact]
    public async Task Probe_finds_a_service_manager_that_drops_descriptors()
    {
        using FakeServiceManager manager = new(keeps: false);
        using NotifySocket socket = new(manager.Address);
        SystemdDescriptorStore store = new(socket, null, []);
        Assert.Equal(StoreState.Absent, await store.ProbeAsync(s_patience));
        Assert.False(store.IsKept);
        using SafeEventFd descriptor = EventFd.Create();
        Assert.False(store.TryStore("session-1", [descriptor]));
    }

    [Theory]
    [InlineData("session-1", true)]
    [InlineData("native", false)]
    public async Task Service_manager_that_is_busy_changes_nothing_of_what_is_known_and_is_asked_again(string inherited, bool isKnownToKeep)
    {
        using FakeServiceManager manager = new();
        manager.Pause(true);
        using NotifySocket socket = new(manager.Address);

        // The reader of the service manager may be on its way to one more message.
        socket.Send("STATUS=x");
        SystemdDescriptorStore store = new(socket, null, [inherited]);
        Assert.Equal(isKnownToKeep ? StoreState.Keeps : StoreState.Unknown, await store.ProbeAsync(TimeSpan.FromMilliseconds(100)));
        manager.Pause(false);
        Assert.Equal(StoreState.Keeps, await store.ProbeAsync(s_patience));
    }

    [Fact]
    public async Task Settling_waits_for_what_waits_in_this_process()
    {
        using FakeServiceManager manager = new();
        manager.Pause(true);
        using NotifySocket socket = new(manager.Address);
        SystemdDescriptorStore store = new(socket, null, ["session-9"]);
        for (int sent = 0; socket.Send("STATUS=x") != NotifyOutcome.Queued; sent++)
            Assert.InRange(sent, 0, 100_000);
        using SafeEventFd descriptor = EventFd.Create();
        Assert.True(store.TryStore("session-1", [descriptor]));
        Task settled = store.SettleAsync();
        Assert.False(settled.IsCompleted);
        manager.Pause(false);
        await settled.WaitAsync(s_patience);
        manager.WaitForName("session-1");
    }

    [Fact]
    public async Task Without_a_service_manager_nothing_is_kept()
    {
        using NotifySocket socket = new(null);
        SystemdDescriptorStore store = new(socket, null, []);
        using SafeEventFd descriptor = EventFd.Create();
        Assert.False(store.IsKept);
        Assert.False(store.TryStore("session-1", [descriptor]));
        store.Remove("session-1");
        Assert.Equal(StoreState.Absent, await store.KnownAsync(s_patience));
        Assert.Equal((0, 0), (store.Descriptors, store.StoredSets));
    }

    [Theory]
    [InlineData("session-7", StoreState.Keeps)]
    [InlineData("source-7", StoreState.Keeps)]
    [InlineData("native", StoreState.Unknown)]
    [InlineData("session", StoreState.Unknown)]
    public void Store_that_gave_something_back_is_one_that_keeps(string name, object expected)
    {
        using FakeServiceManager manager = new();
        using NotifySocket socket = new(manager.Address);
        Assert.Equal((StoreState)expected, new SystemdDescriptorStore(socket, null, [name]).State);
    }

    [Fact]
    public void Many_descriptors_go_in_several_messages()
    {
        using FakeServiceManager manager = new();
        using NotifySocket socket = new(manager.Address);
        SystemdDescriptorStore store = new(socket, null, ["session-1"]);
        using SafeEventFd descriptor = EventFd.Create();
        SafeFd[] many = [.. Enumerable.Repeat((SafeFd)descriptor, 600)];
        Assert.True(store.TryStore("session-2", many));
        Eventually.True(() => manager.Names.Count == 600, "600 descriptors");
        Assert.Equal([253, 253, 94], manager.Messages.Select(message => message.Descriptors));
        Assert.All(manager.Messages, message => Assert.Equal("FDSTORE=1\nFDNAME=session-2\nFDPOLL=0", message.Text));
        Assert.Equal((601, 1, 0), (store.Descriptors, store.StoredSets, store.RefusedSets));
    }

    [Fact]
    public void Removal_follows_what_was_stored_before_even_when_the_socket_is_full()
    {
        using FakeServiceManager manager = new();
        using NotifySocket socket = new(manager.Address);
        SystemdDescriptorStore store = new(socket, null, ["session-1"]);
        using SafeEventFd descriptor = EventFd.Create();
        manager.Pause(true);
        while (socket.Send("STATUS=x") == NotifyOutcome.Sent)
        {
        }

        Assert.True(store.TryStore("session-2", [descriptor]));
        store.Remove("session-2");
        Assert.True(store.TryStore("session-3", [descriptor]));
        manager.Pause(false);
        manager.WaitForName("session-3");
        Assert.Equal(["session-3"], manager.Names);
        Assert.Equal(2, store.Descriptors);
    }

    [Fact]
    public void Store_without_room_refuses_and_counts_it()
    {
        using FakeServiceManager manager = new();
        using NotifySocket socket = new(manager.Address);
        SystemdDescriptorStore store = new(socket, capacity: "4", inherited: ["session-1"]);
        using SafeEventFd descriptor = EventFd.Create();
        Assert.True(store.TryStore("session-2", [descriptor, descriptor, descriptor]));
        Assert.False(store.TryStore("session-3", [descriptor]));
        store.Remove("session-2");
        Assert.True(store.TryStore("session-3", [descriptor]));
        Assert.Equal((2, 1), (store.StoredSets, store.RefusedSets));
    }

    [Fact]
    public void Size_of_zero_is_no_store()
    {
        using FakeServiceManager manager = new();
        using NotifySocket socket = new(manager.Address);
        Assert.Equal(StoreState.Absent, new SystemdDescriptorStore(socket, "0", ["session-1"]).State);
    }

    [Fact]
    public void Stop_for_good_removes_everything_that_was_ever_stored()
    {
        using FakeServiceManager manager = new();
        using NotifySocket socket = new(manager.Address);
        SystemdDescriptorStore store = new(socket, null, ["session-1", "source-2"]);
        using SafeEventFd descriptor = EventFd.Create();
        store.TryStore("image-3", [descriptor]);
        store.RemoveAll();
        string[] removed = ["session-1", "source-2", "image-3"];
        Eventually.True(() => manager.Messages.Count(message => message.Has("FDSTOREREMOVE=1")) == removed.Length, "the removals");
        Assert.Equal(
            removed.Order(StringComparer.Ordinal),
            manager.Messages.Where(message => message.Has("FDSTOREREMOVE=1")).Select(message => message.Value("FDNAME")!).Order(StringComparer.Ordinal));
        Assert.Equal(0, store.Descriptors);
    }
}
