using System.Globalization;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>
/// Snapshots of VMs while they run. A VMM maps one region below the other, so that addresses go the other way than the memory file does; what is compared is what the guest
/// knows of each offset there, and never the file with itself.
/// </summary>
[Collection(SnapshotCollection.Name)]
public sealed class LiveVmSnapshotTests(SnapshotImages images)
{
    private const int Block = 4096;

    [SkippableTheory]
    [InlineData("--version", "1.4", "--regions", "3")]
    [InlineData("--version", "1.11", "--regions", "3", "--balloon")]
    [InlineData("--version", "1.14", "--regions", "1", "--balloon")]
    [InlineData("--version", "1.14", "--regions", "2", "--virtio-mem", "4194304", "--balloon")]
    public async Task Vms_restored_from_the_snapshot_and_from_its_diff_find_what_the_first_one_had(params string[] options)
    {
        List<string> commands = [];
        GuestMemory memory = new(images.Small, Block);

        // In each region, and across each border between two of them: what was read, written, given up, and both. Every second slot of the hot-plug region is unplugged.
        for (long group = 0; group < 4096; group += 512)
        {
            commands.Add($"read {group + 9}");
            Write(memory, commands, group + 3);
            Remove(memory, commands, group + 5);
            Write(memory, commands, group + 11);
            Remove(memory, commands, group + 11);
            Remove(memory, commands, group + 20);
            Write(memory, commands, group + 20);
        }

        await CheckAsync(memory, commands, [1, 700, 2730, 2731, 3100], options);
    }

    [SkippableTheory]
    [InlineData("1.7", false)]
    [InlineData("1.14", true)]
    public async Task Vms_of_huge_pages_find_what_the_first_one_had(string version, bool hasBalloon)
    {
        using HugePages pool = HugePages.AtLeast(10);
        List<string> commands = [];
        GuestMemory memory = new(images.Small, 2 << 20);
        Write(memory, commands, 0);
        Write(memory, commands, 1);
        Write(memory, commands, 2);

        // What a balloon maps over a huge page, as it did up to 1.10, cannot be taken in: that is refused.
        if (hasBalloon)
            Remove(memory, commands, 1);
        await CheckAsync(memory, commands, [3], ["--length", "8388608", "--huge", "--regions", "3", "--version", version, .. hasBalloon ? (string[])["--balloon"] : []]);
    }

    [SkippableTheory]
    [InlineData("--version", "1.4")]
    [InlineData("--version", "1.14")]
    public async Task Pages_of_a_vm_that_writes_all_the_time_are_as_they_were(params string[] options)
    {
        await using VmHost host = await VmHost.StartAsync(images.Small);
        await using Emulator vm = Emulator.Start("load", host.Socket, images.Small, ["--regions", "3", "--threads", "3", "--seconds", "0", .. options]);
        await vm.AwaitProgressAsync();
        string session = await host.SessionOfAsync(vm.Pid);
        GuestMemory memory = new(images.Small, Block);
        int before = memory.AssertPossible(await File.ReadAllBytesAsync(await host.SnapshotAsync(session, "first")));
        await vm.AwaitProgressAsync();

        // What the diff does not have is what the guest was restored from.
        byte[] contents = await File.ReadAllBytesAsync(images.Small);
        await LayOverAsync(contents, await host.SnapshotAsync(session, "second", "memory"));
        int after = memory.AssertPossible(contents);
        Assert.True(before > 0 && after >= before, $"{before} pages were written, and {after} later");
        vm.Terminate();
        await vm.EndsWithAsync(Emulator.Right);
    }

    [SkippableFact]
    public async Task Vm_whose_writes_the_kernel_notes_by_itself_is_refused_and_goes_on()
    {
        await using VmHost host = await VmHost.StartAsync(images.Small);
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(host.Socket, images.Small, "--fork");
        await guest.RunAsync("write 5");
        Assert.Contains("WP_ASYNC", await host.RefusedSnapshotAsync(await host.SessionOfAsync(guest.Emulator.Pid)), StringComparison.Ordinal);
        Assert.False(File.Exists(host.Combine("refused")));
        await guest.RunAsync("write 6");
        await guest.EndsRightAsync();
    }

    private async Task CheckAsync(GuestMemory memory, List<string> commands, long[] later, string[] options)
    {
        await using VmHost host = await VmHost.StartAsync(images.Small);
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(host.Socket, images.Small, options);
        foreach (string command in commands)
            await guest.RunAsync(command);
        string session = await host.SessionOfAsync(guest.Emulator.Pid);
        string full = await host.SnapshotAsync(session, "full");
        await AssertHoldsAsync(memory.Contents, full);
        string before = Save(host, memory, "before");
        foreach (long page in later)
        {
            await guest.RunAsync(string.Create(CultureInfo.InvariantCulture, $"write {page}"));
            memory.Write(page);
        }

        // Upon the image that the guest was restored from.
        string diff = await host.SnapshotAsync(session, "diff", "memory");
        Assert.Equal(memory.Changed, DataOf(diff));
        byte[] laidOver = await File.ReadAllBytesAsync(images.Small);
        await LayOverAsync(laidOver, diff);
        AssertSame(memory.Contents, laidOver);
        await host.AddImageAsync("full", full);
        await host.AddImageAsync("diff", diff, "memory");
        foreach ((string image, string expected) in ((string, string)[])[("full", before), ("diff", Save(host, memory, "after"))])
        {
            await using Emulator clone = Emulator.Start("run", await host.ServeAsync(image), expected, options);
            await clone.EndsWithAsync(Emulator.Right);
        }

        await guest.EndsRightAsync();
    }

    private static void Write(GuestMemory memory, List<string> commands, long page)
    {
        commands.Add(string.Create(CultureInfo.InvariantCulture, $"write {page}"));
        memory.Write(page);
    }

    private static void Remove(GuestMemory memory, List<string> commands, long page)
    {
        commands.Add(string.Create(CultureInfo.InvariantCulture, $"remove {page} 1"));
        memory.Remove(page);
    }

    private static string Save(VmHost host, GuestMemory memory, string name)
    {
        string path = host.Combine($"{name}.expected");
        File.WriteAllBytes(path, memory.Contents);
        return path;
    }

    private static async Task AssertHoldsAsync(byte[] expected, string file) => AssertSame(expected, await File.ReadAllBytesAsync(file));

    private static void AssertSame(byte[] expected, byte[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int at = 0; at < expected.Length; at += Block)
            Assert.True(expected.AsSpan(at, Block).SequenceEqual(actual.AsSpan(at, Block)), $"the page at {at} is wrong");
    }

    private static async Task LayOverAsync(byte[] contents, string diff)
    {
        byte[] upper = await File.ReadAllBytesAsync(diff);
        Assert.Equal(contents.Length, upper.Length);
        foreach (long at in DataOf(diff))
            upper.AsSpan((int)at, Block).CopyTo(contents.AsSpan((int)at));
    }

    // Offsets of the blocks that are no holes.
    private static List<long> DataOf(string path)
    {
        using SafeFile file = FileIo.Open(path, OpenFlags.ReadOnly);
        long length = FileIo.Stat(file).Size;
        List<long> data = [];
        for (long at = FileIo.SeekData(file, 0); at >= 0 && at < length;)
        {
            data.Add(at);
            at += Block;
            if (at < length)
                at = FileIo.SeekData(file, at);
        }

        return data;
    }
}
