using System.Globalization;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>What a VM needs runs out or breaks: the verdict for that VM alone.</summary>
[Collection(SnapshotCollection.Name)]
public sealed class FailureTests(SnapshotImages images)
{
    [SkippableTheory]
    [InlineData("kill", Emulator.Killed)]
    [InlineData("poison", Emulator.Poisoned)]
    public async Task Image_that_is_truncated_under_its_vm_costs_that_vm_alone(string verdict, int exitCode)
    {
        string image = images.Make($"truncated-{verdict}.bin", SnapshotImages.Length);
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(
            [image, images.Small], new { source = new { kind = "client" }, onUnavailable = verdict, deadline = "60s" });
        await using Emulator other = Emulator.Start("load", daemon.SocketOf(1), images.Small, "--seconds", "0", "--balloon", "--pace", "300");

        // What its memory must hold is said by a file that nobody damages.
        await using Emulator victim = Emulator.Start("run", daemon.Socket, images.Small, "--touch", "64", "--hold");
        await victim.AwaitLineAsync("holds");
        await using (FileStream file = File.OpenWrite(image))
            file.SetLength(4096);
        victim.Release();
        await victim.EndsWithAsync(exitCode);
        await other.AwaitProgressAsync();
        other.Terminate();
        await other.EndsWithAsync(Emulator.Right);
    }

    [SkippableFact]
    public async Task Memory_file_that_is_written_under_its_vm_costs_that_vm_alone_and_the_next_one_gets_what_it_is_then()
    {
        string image = images.Make("written.bin", SnapshotImages.Length);
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(
            [image, images.Small], new { source = new { kind = "client" }, onUnavailable = "kill", deadline = "60s" });
        await using Emulator other = Emulator.Start("load", daemon.SocketOf(1), images.Small, "--seconds", "0", "--balloon", "--pace", "300");
        await using Emulator victim = Emulator.Start("run", daemon.Socket, images.Small, "--touch", "64", "--hold");
        await victim.AwaitLineAsync("holds");
        await using (FileStream file = new(image, FileMode.Open, FileAccess.ReadWrite))
        {
            // What was there, so that the next one can be compared with it.
            int first = file.ReadByte();
            file.Position = 0;
            file.WriteByte((byte)first);
        }

        await Task.Delay(150); // lint: allowed, a promised span: fault loops look ten times a second whether a file has changed
        victim.Release();
        await victim.EndsWithAsync(Emulator.Killed);
        await using Emulator next = Emulator.Start("run", daemon.Socket, images.Small);
        await next.EndsWithAsync(Emulator.Right);
        await other.AwaitProgressAsync();
        other.Terminate();
        await other.EndsWithAsync(Emulator.Right);
    }

    [SkippableFact]
    public async Task Image_that_is_shorter_than_the_guest_ends_the_vm_at_its_hand_over()
    {
        string image = images.Make("short.bin", SnapshotImages.Length / 2);
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(image);
        await using Emulator emulator = Emulator.Start("run", daemon.Socket, images.Small);
        await emulator.EndsWithAsync(Emulator.Killed);
        Assert.Equal(1, await daemon.MetricAsync("uffd_manager_vms_killed_total", "bad_memory"));
    }

    [SkippableFact]
    public async Task Image_that_is_not_there_ends_the_vm_and_says_why()
    {
        string image = images.Make("gone.bin", SnapshotImages.Length);
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(image);
        File.Delete(image);
        await using Emulator emulator = Emulator.Start("run", daemon.Socket, images.Small);
        await emulator.EndsWithAsync(Emulator.Killed);
        Assert.Equal(1, await daemon.MetricAsync("uffd_manager_vms_killed_total", "bad_image"));
        await daemon.Process.WaitForLogAsync("gone.bin");
    }

    [SkippableFact]
    public async Task Pool_of_huge_pages_that_is_empty_ends_the_vm_at_the_deadline()
    {
        using HugePages pool = HugePages.Exactly(2);

        // Not so short that a busy machine needs it for a page of the other one.
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(
            images.Small, new { source = new { kind = "client" }, onUnavailable = "kill", deadline = "3s" });
        await using Emulator other = Emulator.Start("load", daemon.Socket, images.Small, "--seconds", "0", "--balloon", "--pace", "300");
        await using Emulator emulator = StartBeyondThePool(daemon, images);
        await emulator.EndsWithAsync(Emulator.Killed);
        await other.AwaitProgressAsync();
        other.Terminate();
        await other.EndsWithAsync(Emulator.Right);
    }

    [SkippableFact]
    public async Task Pool_of_huge_pages_that_is_filled_up_in_time_makes_the_vm_wait_and_go_on()
    {
        using HugePages pool = HugePages.Exactly(2);
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(
            images.Small, new { source = new { kind = "client" }, onUnavailable = "kill", deadline = "60s" });
        await using Emulator emulator = StartBeyondThePool(daemon, images);
        Eventually.True(() => HugePages.Free == 0, "the guest to use the pool up");
        int total = int.Parse(await File.ReadAllTextAsync("/proc/sys/vm/nr_hugepages"), CultureInfo.InvariantCulture);
        await File.WriteAllTextAsync("/proc/sys/vm/nr_hugepages", $"{total + 4}");
        await emulator.EndsWithAsync(Emulator.Right);
    }

    [SkippableFact]
    public async Task Vms_that_are_killed_at_any_moment_leave_nothing_behind()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await RunAndKillAsync(daemon, images, 4, seed: 1);
        await daemon.AwaitNoSessionsAsync();
        int before = Descriptors(daemon);
        await RunAndKillAsync(daemon, images, 24, seed: 2);
        await daemon.AwaitNoSessionsAsync();
        Eventually.True(() => Descriptors(daemon) <= before, "the descriptors of killed VMs to be closed");
    }

    private static async Task RunAndKillAsync(SnapshotDaemon daemon, SnapshotImages images, int count, int seed)
    {
        Random random = new(seed);
        for (int i = 0; i < count; i++)
        {
            await using Emulator emulator = Emulator.Start("load", daemon.Socket, images.Small, "--seconds", "0", "--reporting", "--balloon");
            await Task.Delay(random.Next(0, 60)); // lint: allowed, the moment of the kill is what is random here
            emulator.Kill();
            await emulator.EndsWithAsync(Emulator.Killed);
        }
    }

    // One page more than there are.
    private static Emulator StartBeyondThePool(SnapshotDaemon daemon, SnapshotImages images)
    {
        int pages = HugePages.Free + 1;
        Require.That(pages * (long)HugePages.PageSize <= 2 * SnapshotImages.Length, "needs a pool that is not larger than the image");
        return Emulator.Start(
            "run", daemon.Socket, images.Small, "--huge", "--regions", "1", "--device-pages", "1", "--length", $"{pages * (long)HugePages.PageSize}");
    }

    private static int Descriptors(SnapshotDaemon daemon) => Directory.GetFileSystemEntries($"/proc/{daemon.Process.Pid}/fd").Length;
}
