using System.Text;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Hosting;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>What cannot be served ends with the VM killed and the reason told; never with a VM that hangs or reads zeros.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class RefusedVmTests
{
    public static TheoryData<string, string, string> Malicious => new()
    {
        { "no descriptor", nameof(HandOverRefusal.BadMessage), "no userfaultfd came" },
        { "wrong descriptor", nameof(HandOverRefusal.BadMessage), "neither a userfaultfd nor a memfd" },
        { "two userfaultfds", nameof(HandOverRefusal.BadMessage), "two userfaultfds" },
        { "three descriptors", nameof(HandOverRefusal.BadMessage), "guest_memfd" },
        { "253 descriptors", nameof(HandOverRefusal.BadMessage), "253 descriptors" },
        { "garbage", nameof(HandOverRefusal.BadMessage), "not a JSON array" },
        { "64 KiB without an end", nameof(HandOverRefusal.BadMessage), "longer than 65536" },
        { "overlap", nameof(HandOverRefusal.BadMessage), "overlap" },
        { "huge numbers", nameof(HandOverRefusal.BadMessage), "beyond the address space" },
        { "many pieces and silence", nameof(HandOverRefusal.Incomplete), "did not come within 0.3 s" },
        { "half a message", nameof(HandOverRefusal.Incomplete), "in the middle of its message" },
        { "half a message and silence", nameof(HandOverRefusal.Incomplete), "did not come within 0.3 s" },
        { "past the file", nameof(HandOverRefusal.BadMemory), "has 4194304 bytes" },
        { "not mapped", nameof(HandOverRefusal.BadMemory), "is not mapped" },
        { "not registered", nameof(HandOverRefusal.BadMemory), "is registered for None" },
        { "registered for minor faults", nameof(HandOverRefusal.BadMemory), "must be for missing pages" },
        { "registered on another userfaultfd", nameof(HandOverRefusal.BadMemory), "held by a userfaultfd outside this manager" },
        { "wrong page size", nameof(HandOverRefusal.BadMemory), "is mapped with pages of 4096" },
        { "interface unknown", nameof(HandOverRefusal.BadMemory), "UFFDIO_API was not called" },
    };

    [Theory]
    [MemberData(nameof(Malicious))]
    public async Task Vm_that_cannot_be_served_is_killed_with_the_reason_and_nothing_is_left(string kind, string reason, string text)
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "300ms" } """);
        using EmulatedVm sound = EmulatedVm.Boot(host).HandOver();
        sound.AssertHolds(host.Image);
        Eventually.True(() => host.Telemetry.Open == 0, "the end of the connection");
        using (EmulatedVm warm = EmulatedVm.Boot(host).Connect())
        {
            warm.Send("x", warm.Uffd);
            warm.AssertKilled();
        }

        DescriptorWatch watch = DescriptorWatch.Start();
        using (EmulatedVm vm = EmulatedVm.Boot(host, kind == "registered for minor faults" ? "memfd-shared" : "anon").Connect())
        {
            PendingReply waiting = vm.Client.Begin($"read {vm.Start}", 1);
            SendBroken(vm, kind);
            vm.AssertKilled();
            Assert.Throws<Xunit.Sdk.FailException>(() => waiting.AwaitValue());
        }

        host.AssertKills(nameof(HandOverRefusal.BadMessage), reason);
        Assert.Contains("2103 VM killed", host.Log.Text, StringComparison.Ordinal);
        Assert.Contains(text, host.Log.Text, StringComparison.Ordinal);
        Eventually.True(() => host.Telemetry.Open == 0, "the end of the connection");
        watch.AssertUnchanged();
        Assert.Single(host.Engine.Sessions());
        Assert.Equal(host.Image[^1], sound.Client.ReadByte(sound.Start + sound.Length - 1));
    }

    [Fact]
    public async Task Peer_that_says_nothing_loses_its_connection_and_lives()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "200ms" } """);
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();

        Eventually.True(() => host.Log.Text.Contains("2105 Peer turned away", StringComparison.Ordinal), "the timeout");

        // What it would hand over now fails, and it knows.
        Assert.Equal(Errno.EPIPE, vm.Send(vm.Message(), vm.Uffd));
        Assert.False(vm.Client.HasExited);
        Assert.Equal([ProtocolErrorReason.FirstMessageTimeout], host.Telemetry.Errors);
        Assert.Empty(host.Telemetry.Kills);
    }

    [Fact]
    public async Task Peer_that_connects_and_goes_away_is_nobodys_trouble()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        Eventually.True(() => host.Telemetry.Open == 1, "the connection");

        vm.Disconnect();

        Eventually.True(() => host.Telemetry.Open == 0, "its end");
        vm.HandOver().AssertHolds(host.Image);
        Assert.Empty(host.Telemetry.Errors);
    }

    [Theory]
    [InlineData("gone.bin", "mem.bin", nameof(HandOverRefusal.BadImage))]
    [InlineData("../../etc/passwd", "mem.bin", nameof(HandOverRefusal.BadImage))]
    public async Task Vm_whose_image_cannot_be_opened_is_killed(string image, string other, string reason)
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync($$"""
            "web": { "image": "{{image}}", "tenant": "vms", "socket": "@/fc.sock" }, "other": { "image": "{{other}}", "tenant": "vms", "socket": "@/other.sock" }
            """);
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        vm.AssertKilled();
        host.AssertKills(reason);
        using EmulatedVm served = EmulatedVm.Boot(host).Connect(Path.Combine(host.Folder, "other.sock"));
        Assert.Equal(Errno.OK, served.Send(served.Message(), served.Uffd));
        served.AssertHolds(host.Image);
    }

    [Theory]
    [InlineData("\"maxVms\": 1", "", "has its 1 VMs")]
    [InlineData("\"maxVms\": 0", "\"sessions\": 1", "has its 1 sessions")]
    [InlineData("\"maxVms\": 0", "\"regions\": 1", "has its 1 regions")]
    [InlineData("\"maxVms\": 0", "\"registeredBytes\": \"6MiB\"", "registered bytes")]
    public async Task Vm_beyond_a_limit_is_killed_and_one_after_the_end_of_another_is_served(string limit, string tenant, string text)
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync($$""" "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", {{limit}} } """, tenant);
        using (EmulatedVm first = EmulatedVm.Boot(host).HandOver())
        {
            first.AssertHolds(host.Image);
            using EmulatedVm second = EmulatedVm.Boot(host).HandOver();
            second.AssertKilled();
            host.AssertKills(nameof(HandOverRefusal.Limit));
            Assert.Contains(text, host.Log.Text, StringComparison.Ordinal);
        }

        Eventually.True(() => host.Engine.Sessions().Count == 0, "the end of the first");
        using EmulatedVm third = EmulatedVm.Boot(host).HandOver();
        third.AssertHolds(host.Image);
    }

    [Fact]
    public async Task Vm_that_comes_while_the_manager_is_drained_is_killed()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        host.IsDraining = true;
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        vm.AssertKilled();
        host.AssertKills(nameof(HandOverRefusal.Draining));
    }

    [Fact]
    public async Task Vm_that_has_begun_its_message_is_killed_when_the_manager_stops_and_its_socket_goes()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        Assert.Equal(Errno.OK, vm.Send("[", vm.Uffd));
        Eventually.True(() => host.Telemetry.Open == 1, "the connection");

        await host.StopDoorAsync();

        vm.AssertKilled();
        host.AssertKills(nameof(HandOverRefusal.Draining));
        Assert.False(File.Exists(host.SocketPath));
    }

    [Fact]
    public async Task Same_userfaultfd_handed_over_twice_is_served_once()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        vm.AssertHolds(host.Image);

        vm.HandOver();

        Eventually.True(() => host.Telemetry.Requests.Count == 2 && host.Telemetry.Open == 0, "the second hand-over");
        Assert.Single(host.Engine.Sessions());
        Assert.False(vm.Client.HasExited);
    }

    private static void SendBroken(EmulatedVm vm, string kind)
    {
        switch (kind)
        {
            case "no descriptor":
                vm.Send(vm.Message());
                break;
            case "wrong descriptor":
                using (SafeEventFd wrong = EventFd.Create())
                    vm.Send(vm.Message(), wrong);
                break;
            case "two userfaultfds":
                vm.Send(vm.Message(), vm.Uffd, vm.Uffd);
                break;
            case "three descriptors":
                using (SafeMemfd memory = Memfd.Create("guest", MemfdFlags.None))
                    vm.Send(vm.Message(), vm.Uffd, memory, memory);
                break;
            case "253 descriptors":
                vm.Send(vm.Message(), [.. Enumerable.Repeat<SafeFd>(vm.Uffd, 253)]);
                break;
            case "garbage":
                vm.Send("SSH-2.0-OpenSSH_9.2", vm.Uffd);
                break;
            case "64 KiB without an end":
                vm.Send("[" + new string(' ', 70_000), vm.Uffd);
                break;
            case "overlap":
                vm.Send($"[{DecoderInput.Region("1.12", vm.Start, vm.Length, 0, 4096)},{DecoderInput.Region("1.12", vm.Start, vm.Length, 0, 4096)}]", vm.Uffd);
                break;
            case "huge numbers":
                vm.Send($"[{DecoderInput.Region("1.12", vm.Start, 0xffff_ffff_ffff_f000, 0, 4096)}]", vm.Uffd);
                break;
            case "half a message":
                vm.Send(vm.Message()[..20], vm.Uffd);
                vm.Disconnect();
                break;
            case "many pieces and silence":
                vm.Send("[", vm.Uffd);
                for (int i = 0; i < 500; i++)
                    vm.Send(" ");
                break;
            case "half a message and silence":
                vm.Send(vm.Message()[..20], vm.Uffd);
                break;
            case "past the file":
                vm.Send(vm.Message(offset: 4096), vm.Uffd);
                break;
            case "not mapped":
                vm.Send($"[{DecoderInput.Region("1.12", vm.Start + (1UL << 40), vm.Length, 0, 4096)}]", vm.Uffd);
                break;
            case "not registered":
                vm.Client.Run($"unregister {vm.UffdNumber} {vm.Start + (vm.Length / 2)} {EmulatedVm.Page}");
                vm.Send(vm.Message(), vm.Uffd);
                break;
            case "registered for minor faults":
                vm.Client.Run($"register {vm.UffdNumber} {vm.Start} {vm.Length} 5");
                vm.Send(vm.Message(), vm.Uffd);
                break;
            case "registered on another userfaultfd":
                using (SafeUffd other = vm.Client.OpenUffd(UffdOpenFlags.None, out int number))
                {
                    vm.Client.Run($"api {number} 0");
                    vm.Send(vm.Message(), other);
                }

                break;
            case "wrong page size":
                vm.Send($"[{DecoderInput.Region("1.12", (vm.Start + HugePages.PageSize - 1) & ~(HugePages.PageSize - 1), HugePages.PageSize, 0, HugePages.PageSize)}]", vm.Uffd);
                break;
            case "interface unknown":
                using (SafeUffd raw = vm.Client.OpenUffd())
                    vm.Send(vm.Message(), raw);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(kind), kind, "not a kind");
        }
    }
}
