using System.Diagnostics;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>Who is killed, who is not, and what is held until the end.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class CondemnedVmTests : IDisposable
{
    private const uint Nobody = 65534;
    private const string ForNobody = """ "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "2s", "match": { "uids": [65534] } } """;

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Stranger_that_writes_a_line_loses_its_connection_and_lives()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(ForNobody);
        using EmulatedVm stranger = EmulatedVm.Boot(host).Connect();

        // Its message may fail or arrive: it was not waited for.
        stranger.Send("<30>a line for a log");

        Eventually.True(() => host.Log.Text.Contains("2105 Peer turned away", StringComparison.Ordinal), "the refusal");
        Eventually.True(() => host.Log.Text.Contains("no snapshot of this socket is meant for it", StringComparison.Ordinal), "its reason");
        Assert.False(stranger.Client.HasExited);
        Assert.Empty(host.Telemetry.Kills);
    }

    [Fact]
    public async Task Stranger_that_hands_its_memory_over_is_killed_because_it_would_wait_for_ever()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(ForNobody);
        string path = _directory.Combine("slow.sock");
        await host.ServeAsync("run", path, match: new() { Uids = [Nobody], Cgroups = [] });
        int killed = 0;

        // Who is refused before its message arrives hears of that instead.
        while (killed == 0)
        {
            using EmulatedVm stranger = EmulatedVm.Boot(host).Connect(path);
            if (stranger.Send(stranger.Message(), stranger.Uffd) == Errno.OK)
            {
                stranger.AssertKilled();
                killed++;
            }
        }

        host.AssertKills(nameof(HandOverRefusal.NotAllowed));
    }

    [Fact]
    public async Task Peer_that_begins_a_message_without_any_memory_loses_its_connection_and_lives()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "200ms" } """);
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        Assert.Equal(Errno.OK, vm.Send("["));
        Eventually.True(() => host.Log.Text.Contains("did not come within 0.2 s", StringComparison.Ordinal), "the timeout");
        Eventually.True(() => host.Telemetry.Open == 0, "the end of the connection");
        Assert.False(vm.Client.HasExited);
        Assert.Empty(host.Telemetry.Kills);
    }

    [Theory]
    [InlineData("<30>a line for a log", 1, "not a JSON array")]
    [InlineData(" ", 70_000, "longer than 65536")]
    public async Task Text_without_any_memory_at_a_socket_that_is_meant_for_its_sender_costs_the_connection_alone(string text, int times, string reason)
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();

        // The rest of what is too long may fail.
        vm.Send(string.Concat(Enumerable.Repeat(text, times)));

        Eventually.True(() => host.Log.Text.Contains("2105 Peer turned away", StringComparison.Ordinal), "the refusal");
        Assert.Contains(reason, host.Log.Text, StringComparison.Ordinal);
        Eventually.True(() => host.Telemetry.Open == 0, "the end of the connection");
        Assert.Single(host.Telemetry.Errors);
        Assert.False(vm.Client.HasExited);
        Assert.Empty(host.Telemetry.Kills);
    }

    [SkippableFact]
    public async Task Hand_over_for_whose_userfaultfd_there_is_no_number_is_looked_at_again_and_served()
    {
        Require.Root();
        await using DaemonProcess daemon = await StartAsync(null);
        using EmulatedVm vm = await BootAfterAnotherAsync(daemon);
        HashSet<string> before = Sockets(daemon);
        ConnectAndBeLetIn(daemon, vm, before);
        Limit(daemon, 1);
        Assert.Equal(Errno.OK, vm.Send(vm.Message(), vm.Uffd));
        await daemon.WaitForLogAsync("there is no number left for its descriptors");
        Assert.False(vm.Client.HasExited);
        Limit(daemon, 4096);
        Assert.Equal(0, vm.Client.ReadByte(vm.Start));
        Assert.DoesNotContain(daemon.LogLines, line => line.Contains("VM killed", StringComparison.Ordinal));
    }

    // What came before is taken already, and what was not looked at must not be.
    [SkippableFact]
    public async Task Hand_over_in_pieces_for_whose_userfaultfd_there_is_no_number_is_looked_at_again_and_served()
    {
        Require.Root();
        await using DaemonProcess daemon = await StartAsync(null);
        using EmulatedVm vm = await BootAfterAnotherAsync(daemon);
        HashSet<string> before = Sockets(daemon);
        ConnectAndBeLetIn(daemon, vm, before);
        Assert.Equal(Errno.OK, vm.Send("[" + new string(' ', 200)));

        // Who comes after it is served: its text has been taken.
        using (EmulatedVm next = EmulatedVm.Boot(Socket, SnapshotHost.ImageBytes).HandOver())
            Assert.Equal(0, next.Client.ReadByte(next.Start));
        Limit(daemon, 1);
        Assert.Equal(Errno.OK, vm.Send(vm.Message()[1..], vm.Uffd));
        await daemon.WaitForLogAsync("there is no number left for its descriptors");
        Assert.False(vm.Client.HasExited);
        Limit(daemon, 4096);
        Assert.Equal(0, vm.Client.ReadByte(vm.Start));
        Assert.DoesNotContain(daemon.LogLines, line => line.Contains("VM killed", StringComparison.Ordinal));
    }

    [SkippableFact]
    public async Task Vm_for_whose_userfaultfd_no_number_comes_free_is_killed_when_its_time_is_over()
    {
        Require.Root();
        await using DaemonProcess daemon = await StartAsync(null);
        using EmulatedVm vm = EmulatedVm.Boot(Socket, SnapshotHost.ImageBytes);
        HashSet<string> before = Sockets(daemon);
        ConnectAndBeLetIn(daemon, vm, before);
        Limit(daemon, 1);
        Assert.Equal(Errno.OK, vm.Send(vm.Message(), vm.Uffd));
        vm.AssertKilled();
        await daemon.WaitForLogAsync("VM killed at its hand-over");
        Limit(daemon, 4096);
    }

    [SkippableFact]
    public async Task Vm_that_cannot_be_killed_waits_and_reads_no_zeros()
    {
        Require.Root();
        Skip.IfNot(await DaemonProcess.IsReadableByAsync(Nobody), "the build output cannot be read by other users");
        File.SetUnixFileMode(_directory.Path, (UnixFileMode)0b111_111_111);
        await using DaemonProcess daemon = await StartAsync(Nobody);
        int before = Userfaultfds(daemon);
        using EmulatedVm vm = EmulatedVm.Boot(Socket, SnapshotHost.ImageBytes).Connect();
        Assert.Equal(Errno.OK, vm.Send("garbage", vm.Uffd));
        await daemon.WaitForLogAsync("It cannot be killed");

        // Now the manager has the last one.
        vm.Client.Run($"close {vm.UffdNumber}");
        vm.Uffd.Dispose();
        vm.Disconnect();
        PendingReply read = vm.Client.Begin($"read {vm.Start}", 1);

        // It has turned many times since.
        for (int i = 0; i < 3; i++)
        {
            using EmulatedVm other = EmulatedVm.Boot(Socket, SnapshotHost.ImageBytes).Connect();
            other.Disconnect();
        }

        await daemon.GetAsync("metrics");
        Assert.Equal(before + 1, Userfaultfds(daemon));
        vm.Client.Kill();
        Assert.Throws<Xunit.Sdk.FailException>(() => read.AwaitValue());
        Eventually.True(() => Userfaultfds(daemon) == before, "the descriptors of a process that is gone to be closed");
    }

    [SkippableFact]
    public async Task Vm_that_connects_when_descriptors_are_short_is_served_or_ended_and_not_forgotten()
    {
        Require.Root();
        await using DaemonProcess daemon = await StartAsync(null);
        using EmulatedVm vm = await BootAfterAnotherAsync(daemon);

        // One number more each time: at some step there is one for the connection, and none for the process at its other end.
        int[] free = FreeNumbers(daemon);
        Limit(daemon, free[0]);
        vm.HandOver();
        using PeriodicTimer step = new(TimeSpan.FromMilliseconds(250));
        foreach (int number in free[1..12])
        {
            await step.WaitForNextTickAsync();
            Limit(daemon, number);
        }

        Limit(daemon, 4096);

        // What is short at a later step is a reason to end it; the log has it.
        PendingReply read = vm.Client.Begin($"read {vm.Start}", 1);
        Eventually.True(() => vm.Client.HasExited || read.IsCompleted, "the end of its wait");
        if (vm.Client.HasExited)
            await daemon.WaitForLogAsync("VM killed at its hand-over");
    }

    private string Socket => _directory.Combine("fc.sock");

    private Task<DaemonProcess> StartAsync(uint? uid)
    {
        _directory.WriteFile("mem.bin", new byte[SnapshotHost.ImageBytes]);
        return DaemonProcess.StartAsync(
            $$"""
            {
              "policies": { "vm": { "source": { "kind": "client" } } },
              "tenants": { "vms": { "default": true, "defaultPolicy": "vm", "sourceDirectories": ["{{_directory.Path}}"] } },
              "snapshots": { "web": { "image": "mem.bin", "tenant": "vms", "socket": "{{Socket}}", "mode": "0666", "timeout": "10s" } }
            }
            """,
            uid: uid);
    }

    // What the first VM of all makes the manager open is open by then.
    private async Task<EmulatedVm> BootAfterAnotherAsync(DaemonProcess daemon)
    {
        using (EmulatedVm first = EmulatedVm.Boot(Socket, SnapshotHost.ImageBytes).HandOver())
            Assert.Equal(0, first.Client.ReadByte(first.Start));
        await daemon.WaitForLogAsync("the process is gone");
        return EmulatedVm.Boot(Socket, SnapshotHost.ImageBytes);
    }

    private static int Userfaultfds(DaemonProcess daemon) =>
        Directory.GetFileSystemEntries($"/proc/{daemon.Pid}/fd").Count(path => new FileInfo(path).LinkTarget == "anon_inode:[userfaultfd]");

    private void ConnectAndBeLetIn(DaemonProcess daemon, EmulatedVm vm, HashSet<string> before)
    {
        // Its time runs from its connection on.
        using EmulatedVm next = EmulatedVm.Boot(Socket, SnapshotHost.ImageBytes);
        vm.Connect();
        Eventually.True(() => Sockets(daemon).Except(before).Any(), "the connection in the table");
        next.Connect();

        // Accepted after it, by the same thread; so it is watched by now.
        Eventually.True(() => Sockets(daemon).Except(before).Count() > 1, "the next one");
    }

    // By name: what earlier connections have left may be closed meanwhile.
    private static HashSet<string> Sockets(DaemonProcess daemon) =>
        [.. Directory.GetFileSystemEntries($"/proc/{daemon.Pid}/fd").Select(path => new FileInfo(path).LinkTarget).OfType<string>().Where(link => link.StartsWith("socket:", StringComparison.Ordinal))];

    private static int[] FreeNumbers(DaemonProcess daemon)
    {
        HashSet<int> used = [.. Directory.GetFileSystemEntries($"/proc/{daemon.Pid}/fd").Select(path => int.Parse(Path.GetFileName(path), System.Globalization.CultureInfo.InvariantCulture))];
        return [.. Enumerable.Range(0, 4096).Where(number => !used.Contains(number))];
    }

    private static void Limit(DaemonProcess daemon, int files)
    {
        using Process prlimit = Process.Start("prlimit", ["--pid", $"{daemon.Pid}", $"--nofile={files}:"]);
        prlimit.WaitForExit();
        Assert.Equal(0, prlimit.ExitCode);
    }
}
