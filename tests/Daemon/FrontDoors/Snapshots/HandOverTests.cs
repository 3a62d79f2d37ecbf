using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Hosting;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>VMs that hand their memory over properly get their image, and only they.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class HandOverTests
{
    [Theory]
    [InlineData("1.1", 0)]
    [InlineData("1.7", 0)]
    [InlineData("1.12", 8)]
    [InlineData("2.0", 8)]
    public async Task Vm_of_every_version_gets_its_image(string version, ulong features)
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host, features: features);

        // The fault is there before the message, as when device state is restored.
        PendingReply early = vm.Client.Begin($"read {vm.Start}", 1);
        vm.HandOver(version);

        Assert.Equal(host.Image[0], (byte)early.AwaitValue());
        vm.AssertHolds(host.Image);
        Session session = Assert.Single(host.Serving);
        Assert.Equal(("web", "vms", vm.Client.Pid, (UffdFeatures)features), (session.Label, session.Tenant.Name, session.Pid, session.Features));
        Eventually.True(() => host.Telemetry.Open == 0, "the end of the connection");
        Assert.Equal([("hand_over", "ok")], host.Telemetry.Requests);
        Assert.Empty(host.Telemetry.Kills);
    }

    [Fact]
    public async Task Message_that_comes_byte_by_byte_is_served_when_it_is_whole()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        byte[] message = System.Text.Encoding.UTF8.GetBytes(vm.Message());

        Assert.Equal(Errno.OK, vm.Send(message.AsSpan(0, 1), vm.Uffd));
        for (int i = 1; i < message.Length; i++)
            Assert.Equal(Errno.OK, vm.Send(message.AsSpan(i, 1)));

        vm.AssertHolds(host.Image);
    }

    [Fact]
    public async Task Message_of_more_pieces_than_a_socket_holds_is_served()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        byte[] message = System.Text.Encoding.UTF8.GetBytes(vm.Message().Replace("[{", "[{\"labels\":\"" + new string(']', 1000) + "\",", StringComparison.Ordinal));

        Assert.Equal(Errno.OK, vm.Send(message.AsSpan(0, 1), vm.Uffd));
        for (int i = 1; i < message.Length; i++)
            Assert.Equal(Errno.OK, vm.Send(message.AsSpan(i, 1)));

        vm.AssertHolds(host.Image);
    }

    [Fact]
    public async Task Descriptor_that_comes_with_a_later_byte_is_found()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        string message = vm.Message();

        Assert.Equal(Errno.OK, vm.Send(message[..10]));
        Assert.Equal(Errno.OK, vm.Send(message[10..20], vm.Uffd));
        Assert.Equal(Errno.OK, vm.Send(message[20..]));

        vm.AssertHolds(host.Image);
    }

    [Fact]
    public async Task Discarded_pages_are_zeros_and_not_the_image_again()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        vm.AssertHolds(host.Image);

        vm.Client.Run($"madvise {vm.Start + EmulatedVm.Page} {8 * EmulatedVm.Page} 4");

        Assert.True(vm.Client.IsFilledWith(vm.Start + EmulatedVm.Page, 8 * EmulatedVm.Page, 0));
        Assert.Equal(host.Image[0], vm.Client.ReadByte(vm.Start));
    }

    [Fact]
    public async Task Regions_lie_in_the_image_where_the_message_says()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        ulong half = vm.Length / 2;

        // Against the order of addresses.
        Assert.Equal(Errno.OK, vm.Send($"[{DecoderInput.Region("1.12", vm.Start + half, half, 0, 4096)},{DecoderInput.Region("1.12", vm.Start, half, half, 4096)}]", vm.Uffd));

        vm.AssertHolds([.. host.Image[(int)half..], .. host.Image[..(int)half]]);
    }

    [Fact]
    public async Task Part_of_a_region_that_is_not_plugged_in_does_not_keep_the_rest_from_being_served()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host);
        ulong slot = vm.Start + (vm.Length / 4);
        vm.Client.Run($"mprotect {slot} {vm.Length / 4} 0");
        vm.HandOver();

        Assert.Equal(host.Image[0], vm.Client.ReadByte(vm.Start));
        Assert.Equal(host.Image[^1], vm.Client.ReadByte(vm.Start + vm.Length - 1));
        vm.Client.Run($"mprotect {slot} {vm.Length / 4} 3");
        vm.AssertHolds(host.Image);
    }

    [Theory]
    [InlineData("hugetlb")]
    [InlineData("hugetlb-memfd-shared")]
    public async Task Huge_pages_are_filled_whole(string kind)
    {
        using HugePages pool = HugePages.AtLeast(2);
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host, kind).Connect();

        Assert.Equal(Errno.OK, vm.Send(vm.Message(page: HugePages.PageSize), vm.Uffd));

        vm.AssertHolds(host.Image);
        Assert.Equal(2, (await host.Engine.StatusAsync(Assert.Single(host.Serving))).Faults);
    }

    [Fact]
    public async Task Memory_of_a_memfd_is_served_with_the_memfd_in_the_message()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host, "memfd-shared", features: 8).Connect();
        using SafeMemfd memory = Memfd.Create("guest", MemfdFlags.None);

        Assert.Equal(Errno.OK, vm.Send(vm.Message(), vm.Uffd, memory));

        vm.AssertHolds(host.Image);
    }

    [Fact]
    public async Task Write_protection_that_the_vmm_asked_for_is_kept()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host, features: 8 | 1, modes: 3).HandOver();
        vm.AssertHolds(host.Image);

        vm.Client.WriteByte(vm.Start, 1);

        Session session = Assert.Single(host.Serving);
        Assert.Equal(UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect, Assert.Single(await host.Engine.RegionsAsync(session)).Modes);
        Assert.Equal(1, Enum.GetValues<FaultOutcome>().Sum(outcome => host.Engine.Counters().Single(tenant => tenant.Tenant == "vms").Faults(FaultKind.WriteProtect, outcome)));
    }

    [Fact]
    public async Task Vm_is_filled_in_the_background_when_its_policy_says_so()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "web": { "image": "mem.bin", "tenant": "vms", "policy": "ahead", "socket": "@/fc.sock" } """);
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();

        Eventually.True(() => host.Serving.Count == 1 && host.Engine.StatusAsync(host.Serving[0]).GetAwaiter().GetResult().ResidentBytes == SnapshotHost.ImageBytes, "all pages");
        vm.AssertHolds(host.Image);
        Assert.Equal(0, (await host.Engine.StatusAsync(host.Serving[0])).Faults);
    }

    [Fact]
    public async Task Hundred_vms_get_the_image_through_one_socket()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        List<EmulatedVm> vms = [];
        try
        {
            for (int i = 0; i < 100; i++)
                vms.Add(EmulatedVm.Boot(host).HandOver());
            foreach (EmulatedVm vm in vms)
                vm.AssertHolds(host.Image);
            Assert.Equal(100, host.Sessions.Of("web").Count);
        }
        finally
        {
            vms.ForEach(vm => vm.Dispose());
        }

        Eventually.True(() => host.Sessions.Of("web").Count == 0, "the end of all sessions");
    }

    [Fact]
    public async Task Vm_that_dies_over_its_hand_over_leaves_nothing()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using (EmulatedVm.Boot(host).HandOver())
        {
            // Its descriptors are counted when it and its session are gone.
        }

        Eventually.True(() => host.Engine.Sessions().Count == 0 && host.Telemetry.Open == 0, "the end");
        DescriptorWatch watch = DescriptorWatch.Start();
        for (int i = 0; i < 10; i++)
        {
            using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
            vm.Client.Kill();
        }

        Eventually.True(() => host.Engine.Sessions().Count == 0 && host.Telemetry.Open == 0, "the end of all");
        watch.AssertUnchanged();
    }
}
