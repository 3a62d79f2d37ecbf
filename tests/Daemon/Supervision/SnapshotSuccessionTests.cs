using UffdManager.Daemon.Tests.Control;
using UffdManager.Daemon.Tests.FrontDoors.Snapshots;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>One manager follows another: sockets for snapshots, VMs on their way in and VMs that are served go on.</summary>
[Collection(SupervisionCollection.Name)]
public sealed class SnapshotSuccessionTests : IDisposable
{
    private const int Kill = 9;
    private const int Interrupt = 2;
    private const int Terminate = 15;

    private readonly TempDirectory _images = new();
    private readonly SupervisedFolder _folder;
    private readonly FakeServiceManager _manager = new();
    private readonly byte[] _image = new byte[64 * 4096];

    public SnapshotSuccessionTests()
    {
        new Random(11).NextBytes(_image);
        _images.WriteFile("mem.bin", _image);
        _folder = new SupervisedFolder($$"""
            {
              "policies": { "vm": { "source": { "kind": "client" } } },
              "tenants": { "vms": { "default": true, "defaultPolicy": "vm", "sourceDirectories": ["{{_images.Path}}"] } },
              "snapshots": { "web": { "image": "mem.bin", "tenant": "vms", "socket": "{{Configured}}", "timeout": "60s" } }
            }
            """);
    }

    private string Configured => _images.Combine("web.sock");

    private string AtRunTime => _images.Combine("run.sock");

    public void Dispose()
    {
        _manager.Dispose();
        _folder.Dispose();
        _images.Dispose();
    }

    [Theory]
    [InlineData(Kill)]
    [InlineData(Terminate)]
    public async Task Vms_and_sockets_of_the_configuration_and_of_run_time_go_on(int signal)
    {
        using EmulatedVm served = Boot(AtRunTime);
        using EmulatedVm waiting = Boot(AtRunTime);
        using EmulatedVm configured = Boot(Configured);
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        {
            first.WaitForLog("keeps the descriptors");
            await ServeAsync();
            served.HandOver();
            Assert.Equal(_image[0], served.Client.ReadByte(served.Start));
            first.End(signal);
        }

        // Nobody is there now: who connects waits, and so does who faults.
        PendingReply fault = served.Client.Begin($"read {served.Start + EmulatedVm.Page}", 1);
        waiting.HandOver("1.1");
        configured.HandOver();
        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        Assert.Equal(_image[EmulatedVm.Page], (byte)fault.AwaitValue());
        served.AssertHolds(_image);
        waiting.AssertHolds(_image);
        configured.AssertHolds(_image);
        second.WaitForLog("goes on being served at");
        using ControlClient control = new(_folder.Control);
        System.Text.Json.JsonElement run = await control.AskAsync("GET /v1/snapshots/run");
        Assert.Equal(("runtime", "listening", 2), (run.GetProperty("origin").GetString(), run.GetProperty("state").GetString(), run.GetProperty("sessions").GetArrayLength()));
        using EmulatedVm later = Boot(AtRunTime);
        later.HandOver().AssertHolds(_image);
    }

    [Theory]
    [InlineData(Kill)]
    [InlineData(Terminate)]
    public void Vm_whose_message_was_half_read_is_served_by_the_next_manager(int signal)
    {
        using EmulatedVm vm = Boot(Configured);
        string message = vm.Message();
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        {
            first.WaitForLog("keeps the descriptors");
            vm.Connect();
            Assert.Equal(Errno.OK, vm.Send(message[..20], vm.Uffd));
            Eventually.True(() => _manager.Names.Any(name => name.Contains("-peer-", StringComparison.Ordinal)), "the connection in the store");
            first.End(signal);
        }

        Assert.False(vm.Client.HasExited);
        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        Assert.Equal(Errno.OK, vm.Send(message[20..]));
        vm.AssertHolds(_image);
        Eventually.True(() => !_manager.Names.Any(name => name.Contains("-peer-", StringComparison.Ordinal)), "the connection to leave the store");
    }

    // A service manager that does not read: who connects is not accepted, because nobody would keep the connection; the queue that it waits in is kept.
    [Fact]
    public void Vm_that_waits_because_the_service_manager_is_behind_is_served_by_the_next_manager()
    {
        using EmulatedVm vm = Boot(Configured);
        List<SafeSocketFd> strangers = [];
        try
        {
            using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
            {
                first.WaitForLog("keeps the descriptors");
                _manager.Fill();
                for (int i = 0; i < 16; i++)
                    strangers.Add(UnixSocket.Connect(Configured, UnixSocketType.Stream));
                first.WaitForLog("does not read what it is to keep");
                vm.HandOver("1.1");
                first.End(Kill);
                _manager.Drain();
            }

            using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
            vm.AssertHolds(_image);
            Assert.False(vm.Client.HasExited);
        }
        finally
        {
            strangers.ForEach(connection => connection.Dispose());
        }
    }

    // What was taken out of the connection is gone with the manager, and the VM may have sent its last piece: it must not wait for ever.
    [Fact]
    public void Vm_of_whose_message_a_part_was_taken_is_killed_by_the_next_manager()
    {
        using EmulatedVm vm = Boot(Configured);
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        {
            first.WaitForLog("keeps the descriptors");
            vm.Connect();
            Assert.Equal(Errno.OK, vm.Send("[" + new string(' ', 200), vm.Uffd));
            AwaitTaken();
            first.End(Kill);
        }

        // The rest of it, to a connection that the store has.
        Assert.Equal(Errno.OK, vm.Send(vm.Message()[1..]));
        PendingReply fault = vm.Client.Begin($"read {vm.Start}", 1);
        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        vm.AssertKilled();
        Assert.Throws<Xunit.Sdk.FailException>(() => fault.AwaitValue());
        second.WaitForLog("ended in the middle of its message");
        Eventually.True(() => !_manager.Names.Any(name => name.Contains("-peer-", StringComparison.Ordinal) || name.Contains("-taken-", StringComparison.Ordinal)), "both to leave the store");
    }

    // The session is there, and the connection is too: what was taken out of it is no loss.
    [Fact]
    public void Vm_whose_message_came_in_pieces_and_that_is_a_session_is_not_killed_by_the_next_manager()
    {
        using EmulatedVm vm = Boot(Configured);
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager, environment: new Dictionary<string, string> { ["UFFD_MANAGER_CRASH_AT"] = "attach-stored:1" }))
        {
            first.WaitForLog("keeps the descriptors");
            vm.Connect();
            Assert.Equal(Errno.OK, vm.Send("[" + new string(' ', 200), vm.Uffd));
            _manager.WaitForName("snapshot-1-taken-");
            Assert.Equal(Errno.OK, vm.Send(vm.Message()[1..]));
            first.WaitForExit();
        }

        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        vm.AssertHolds(_image);
        Eventually.True(() => !_manager.Names.Any(name => name.Contains("-peer-", StringComparison.Ordinal) || name.Contains("-taken-", StringComparison.Ordinal)), "both to leave the store");
        Assert.False(vm.Client.HasExited);
    }

    // Two memories of one process: the first one is a session already, the connection of the second one is inherited.
    [Fact]
    public void Second_memory_of_a_process_is_served_by_the_next_manager_although_the_first_one_is_a_session()
    {
        using EmulatedVm vm = Boot(Configured);
        using SafeUffd other = vm.Client.OpenUffd(UffdOpenFlags.None, out int number);
        ulong start = vm.Client.Map("anon", vm.Length).Address;
        vm.Client.Run($"api {number} 0");
        vm.Client.Run($"register {number} {start} {vm.Length} 1");
        string message = $"[{DecoderInput.Region("1.12", start, vm.Length, 0, EmulatedVm.Page)}]";
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        {
            first.WaitForLog("keeps the descriptors");
            vm.HandOver();
            vm.AssertHolds(_image);
            Eventually.True(() => !_manager.Names.Any(name => name.Contains("-peer-", StringComparison.Ordinal)), "the end of the first hand-over");
            vm.Connect();
            Assert.Equal(Errno.OK, vm.Send(message[..20], other));
            _manager.WaitForName("snapshot-1-peer-");
            first.End(Kill);
        }

        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        Assert.Equal(Errno.OK, vm.Send(message[20..]));
        Assert.Equal(ClientProcess.Hash(_image), vm.Client.HashRange(start, vm.Length));
    }

    // What was taken is gone: the session of the first memory says nothing about the second one.
    [Fact]
    public void Second_memory_of_whose_message_a_part_was_taken_is_not_taken_for_the_first_one_that_is_a_session()
    {
        using EmulatedVm vm = Boot(Configured);
        using SafeUffd other = vm.Client.OpenUffd(UffdOpenFlags.None, out int number);
        ulong start = vm.Client.Map("anon", vm.Length).Address;
        vm.Client.Run($"api {number} 0");
        vm.Client.Run($"register {number} {start} {vm.Length} 1");
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        {
            first.WaitForLog("keeps the descriptors");
            vm.HandOver();
            vm.AssertHolds(_image);
            Eventually.True(() => !_manager.Names.Any(name => name.Contains("-peer-", StringComparison.Ordinal)), "the end of the first hand-over");
            vm.Connect();
            Assert.Equal(Errno.OK, vm.Send("[" + new string(' ', 200), other));
            AwaitTaken();
            first.End(Kill);
        }

        Assert.Equal(Errno.OK, vm.Send($"{DecoderInput.Region("1.12", start, vm.Length, 0, EmulatedVm.Page)}]"));
        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        vm.AssertKilled();
        second.WaitForLog("ended in the middle of its message");
    }

    [Theory]
    [InlineData("attach-recorded")]
    [InlineData("attach-stored")]
    public void Manager_that_is_killed_in_the_middle_of_an_attach_is_followed_by_one_that_completes_it(string point)
    {
        using EmulatedVm vm = Boot(Configured);
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager, environment: new Dictionary<string, string> { ["UFFD_MANAGER_CRASH_AT"] = $"{point}:1" }))
        {
            vm.HandOver("1.1");
            first.WaitForExit();
        }

        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        vm.AssertHolds(_image);
        Eventually.True(() => !_manager.Names.Any(name => name.Contains("-peer-", StringComparison.Ordinal)), "the connection to leave the store");
        Assert.False(vm.Client.HasExited);
    }

    // manager: make the socket beside its place, FDSTORE, BARRIER     (here the service manager stands still, and the manager is killed)     rename
    [Fact]
    public async Task Socket_is_not_found_before_it_is_kept_and_a_manager_killed_until_then_leaves_nothing_behind()
    {
        string beside = AtRunTime + ".new";
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        {
            first.WaitForLog("keeps the descriptors");
            _manager.HoldsBarriers = true;
            Task asked = ServeAsync();
            _manager.WaitForName("barrier");

            // It has turned since, and still nobody can connect.
            using ControlClient control = new(_folder.Control);
            Assert.Equal("listening", (await control.AskAsync("GET /v1/snapshots/web")).GetProperty("state").GetString());
            Assert.True(File.Exists(beside));
            first.End(Kill);
            await Assert.ThrowsAnyAsync<Exception>(() => asked);
        }

        Assert.False(File.Exists(AtRunTime));
        _manager.HoldsBarriers = false;
        _manager.Lose("barrier");
        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);

        // It was asked for, and is on record: the next one makes it anew.
        Assert.False(File.Exists(beside));
        await ServeAsync(isThere: true);
        using EmulatedVm vm = Boot(AtRunTime);
        vm.HandOver().AssertHolds(_image);
        Assert.Empty(Directory.GetFiles(_images.Path, "*.new"));
    }

    [Fact]
    public void Sockets_of_the_configuration_are_kept_and_in_their_place_before_the_manager_is_ready()
    {
        _manager.Pause(true);
        using SupervisedDaemon first = SupervisedDaemon.Start(_folder, _manager);
        Eventually.True(() => File.Exists(Configured + ".new"), "the socket beside its place");
        _manager.Pause(false);
        first.WaitForLog("Ready: ");
        Assert.True(File.Exists(Configured));
        _manager.WaitFor(message => message.Has("READY=1"), "that it is ready");
        List<NotifyMessage> messages = [.. _manager.Messages];
        int ready = messages.FindIndex(message => message.Has("READY=1"));
        Assert.InRange(messages.FindIndex(message => message.Has("FDSTORE=1") && message.Value("FDNAME") == "snapshot-1"), 0, ready - 1);
    }

    [Fact]
    public void Vm_whose_socket_the_next_configuration_does_not_have_is_killed()
    {
        using EmulatedVm vm = Boot(Configured);
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        {
            vm.Connect();
            Assert.Equal(Errno.OK, vm.Send("[", vm.Uffd));
            Eventually.True(() => _manager.Names.Any(name => name.Contains("-peer-", StringComparison.Ordinal)), "the connection in the store");
            first.End(Kill);
        }

        _folder.Configure(SupervisedFolder.Everybody);
        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        vm.AssertKilled();
        second.WaitForLog("VM killed at its hand-over");
        Assert.False(File.Exists(Configured));
        Eventually.True(() => !_manager.Names.Any(name => name.StartsWith("snapshot-", StringComparison.Ordinal)), "everything of the socket to leave the store");
    }

    [Fact]
    public async Task Orderly_stop_leaves_nothing_in_the_store_and_no_socket()
    {
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        {
            await ServeAsync();
            Assert.Equal(4, _manager.Names.Count(name => name.StartsWith("snapshot-", StringComparison.Ordinal)));
            Assert.Equal(0, first.End(Interrupt).ExitCode);
        }

        Eventually.True(() => _manager.Names.Count == 0, "an empty store");
        Assert.Empty(Directory.GetFiles(_images.Path, "*.sock"));
    }

    // The mark of the one connection that is kept is in the store, and nothing is in the connection any more.
    private void AwaitTaken()
    {
        _manager.WaitForName("snapshot-1-taken-");
        List<(string Name, SafeFd Descriptor)> kept = _manager.Lend();
        using SafeSocketFd peer = kept.Single(it => it.Name.Contains("-peer-", StringComparison.Ordinal)).Descriptor.Duplicate<SafeSocketFd>();
        kept.ForEach(it => it.Descriptor.Dispose());
        using System.Net.Sockets.Socket connection = UnixSocket.GiveAway(peer);
        Eventually.True(() => connection.Available == 0, "a part of the message to be taken");
    }

    private EmulatedVm Boot(string socket) => EmulatedVm.Boot(socket, (ulong)_image.Length);

    private async Task ServeAsync(bool isThere = false)
    {
        using ControlClient control = new(_folder.Control);
        await control.AskAsync(
            "POST /v1/snapshots", isThere ? System.Net.HttpStatusCode.OK : System.Net.HttpStatusCode.Created,
            $$"""{ "name": "run", "image": "mem.bin", "tenant": "vms", "socket": "{{AtRunTime}}" }""");
    }
}
