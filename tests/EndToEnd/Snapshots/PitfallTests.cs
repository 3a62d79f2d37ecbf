using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>
/// Orders of faults, removals and deaths that handlers are known to trip over. The daemon stands still while its VM puts them into the
/// kernel's queues; then it goes on, and finds all of them at once.
/// </summary>
[Collection(SnapshotCollection.Name)]
public sealed class PitfallTests(SnapshotImages images)
{
    [SkippableFact]
    public async Task Fault_that_is_read_before_an_older_removal_of_its_page_never_brings_the_page_back()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(daemon.Socket, images.Small);
        await guest.RunAsync("read 100");
        for (int page = 0; page < 10; page++)
        {
            daemon.Process.Suspend();
            await guest.BeginAsync($"read {page}");
            await guest.BeginAsync($"remove {page} 1");
            daemon.Process.Continue();
        }

        await guest.EndsRightAsync();
    }

    [SkippableFact]
    public async Task Fault_that_no_further_event_follows_is_served_although_a_removal_was_unread()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(daemon.Socket, images.Small);
        await guest.RunAsync("read 0");
        daemon.Process.Suspend();
        await guest.BeginAsync("remove 200 64");
        await guest.BeginAsync("remove 300 64");
        await guest.BeginAsync("read 1");
        await guest.BeginAsync("write 2");
        await guest.BeginAsync("read 230");
        daemon.Process.Continue();
        await guest.EndsRightAsync();
    }

    [SkippableFact]
    public async Task Page_that_many_threads_wait_for_wakes_all_of_them()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(daemon.Socket, images.Small);
        await guest.RunAsync("read 0");
        daemon.Process.Suspend();
        for (int i = 0; i < 20; i++)
            await guest.BeginAsync("read 7");
        daemon.Process.Continue();
        await guest.EndsRightAsync();
    }

    [SkippableFact]
    public async Task Window_with_pages_that_are_there_already_is_filled_around_them()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(
            images.Small, new { source = new { kind = "client" }, onUnavailable = "kill", faultAroundBytes = "64KiB" });
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(daemon.Socket, images.Small);
        daemon.Process.Suspend();
        foreach (int page in (int[])[3, 4, 9, 15, 0, 5])
            await guest.BeginAsync($"read {page}");
        daemon.Process.Continue();
        await guest.RunAsync("remove 4 3");
        await guest.RunAsync("read 6");
        await guest.EndsRightAsync();
    }

    [SkippableTheory]
    [InlineData("--version", "1.4")]
    [InlineData("--version", "1.14")]
    public async Task Vm_that_dies_with_faults_in_the_queue_is_forgotten_whatever_its_socket_tells(params string[] options)
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(daemon.Socket, images.Small, options);
        await guest.RunAsync("read 0");
        daemon.Process.Suspend();
        await guest.BeginAsync("read 1");
        await guest.BeginAsync("write 2");
        guest.Emulator.Kill();
        await guest.Emulator.EndsWithAsync(Emulator.Killed);
        daemon.Process.Continue();
        await daemon.AwaitNoSessionsAsync();
        await using Emulator next = Emulator.Start("run", daemon.Socket, images.Small, options);
        await next.EndsWithAsync(Emulator.Right);
    }

    [SkippableFact]
    public async Task Socket_that_is_closed_at_once_ends_nothing()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(daemon.Socket, images.Small, "--version", "1.1");
        await guest.RunAsync("read 0");
        await daemon.AwaitMetricAsync("uffd_manager_connections", value => value == 0);
        await guest.RunAsync("read 1");
        await guest.EndsRightAsync();
    }

    [SkippableFact]
    public async Task Manager_that_stops_for_good_ends_the_vms_that_lack_pages_and_gives_them_no_zeros()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using Emulator whole = Emulator.Start("run", daemon.Socket, images.Small, "--hold");
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(daemon.Socket, images.Small, "--version", "1.4");
        await guest.RunAsync("read 0");
        await whole.AwaitLineAsync("holds");
        Assert.Equal(0, await daemon.Process.StopAsync());
        await guest.Emulator.EndsWithAsync(Emulator.Killed);

        // Who has all of its pages needs nobody any more.
        whole.Release();
        await whole.EndsWithAsync(Emulator.Right);
    }

    [SkippableFact]
    public async Task Slot_that_is_unplugged_while_its_pages_are_waited_for_stays_the_guests_business()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(daemon.Socket, images.Small, "--virtio-mem", "8388608");

        // The second half of the file: slots of 512 pages, of which the odd ones are unplugged.
        await guest.RunAsync("read 2048");
        await guest.RunAsync("plug 1");
        await guest.RunAsync("read 2560");
        daemon.Process.Suspend();
        await guest.BeginAsync("plug 0");
        await guest.BeginAsync("read 2561");
        daemon.Process.Continue();
        await guest.RunAsync("plug 0");
        await guest.RunAsync("read 2048");
        await guest.EndsRightAsync();
    }

    [SkippableFact]
    public async Task Sixteen_vcpus_of_one_vm_are_served()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using Emulator emulator = Emulator.Start("load", daemon.Socket, images.Small, "--threads", "16", "--balloon", "--seconds", "1");
        await emulator.EndsWithAsync(Emulator.Right);
    }

    [SkippableFact]
    public async Task Path_that_no_socket_address_can_hold_is_served()
    {
        string folder = new('d', 150);
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync([images.Small], folder: folder);
        await using Emulator emulator = Emulator.Start("run", daemon.SocketOf(0, folder), images.Small);
        await emulator.EndsWithAsync(Emulator.Right);
    }
}
