using System.Diagnostics;
using System.Globalization;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>What virtual processors write on /dev/kvm: their writes meet the protection in the kernel's tables for the guest, and not in those of a process.</summary>
[Collection(SnapshotCollection.Name)]
public sealed class KvmWriteTests(SnapshotImages images)
{
    private const int Page = 4096;

    // Of tests/native/microguest/script.h: the pages before are the program's.
    private const int FirstPage = 16;

    [SkippableTheory]
    [InlineData("--vcpus", "2", "--regions", "3", "--version", "1.10")]
    [InlineData("--vcpus", "2", "--regions", "3", "--version", "1.14")]
    [InlineData("--vcpus", "1", "--regions", "2", "--version", "1.11")]
    public async Task Snapshot_while_virtual_processors_write_is_a_state_that_was(params string[] options)
    {
        // Each writes 1, 2, 3, … round and round over its pages. With the highest number that is in the image it is known what every page must hold.
        await using VmHost host = await VmHost.StartAsync(images.Guest);
        await using ScriptedGuest guest = await ScriptedGuest.StartMicroguestAsync(host.Socket, images.Guest, options);
        byte[] memory = await File.ReadAllBytesAsync(images.Guest);
        int vcpus = int.Parse(options[1], CultureInfo.InvariantCulture);
        await guest.RunAsync("count");
        int share = (int)Emulator.Value(await guest.Emulator.AwaitLineAsync("counting"), "share");
        for (int vcpu = 0; vcpu < vcpus; vcpu++)
            await guest.Emulator.AwaitLineAsync($"round-{vcpu}");
        string session = await host.SessionOfAsync(guest.Emulator.Pid);
        long began = Stopwatch.GetTimestamp();
        long[] highest = new long[vcpus];

        // Where they seldom get a processor it takes some more until one of them has met it.
        for (int round = 0; round < 3 || host.SavedPages == 0; round++)
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(60), "nothing was written meanwhile");
            byte[] image = await File.ReadAllBytesAsync(await host.SnapshotAsync(session, $"image{round}"));
            Assert.Equal(memory.Length, image.Length);
            byte[] expected = [.. memory];
            for (int vcpu = 0; vcpu < vcpus; vcpu++)
            {
                long last = LayNumbers(image, expected, FirstPage + (vcpu * share), share);
                Assert.True(last >= highest[vcpu] && last > 0, $"vCPU {vcpu} was at {highest[vcpu]} and is at {last}");
                highest[vcpu] = last;
            }

            for (int page = 0; page < image.Length / Page; page++)
                Assert.True(image.AsSpan(page * Page, Page).SequenceEqual(expected.AsSpan(page * Page, Page)), $"page {page} of snapshot {round} is wrong");
        }

        await guest.RunAsync("stop");
        await guest.EndsRightAsync();
    }

    [SkippableTheory]
    [InlineData("--regions", "3", "--version", "1.10")]
    [InlineData("--regions", "3", "--version", "1.14")]
    public async Task Pages_that_a_virtual_processor_writes_are_listed_and_no_others(params string[] options)
    {
        await using VmHost host = await VmHost.StartAsync(images.Guest);
        await using ScriptedGuest guest = await ScriptedGuest.StartMicroguestAsync(host.Socket, images.Guest, options);
        await guest.RunAsync("write 340 6 1");
        string session = await host.SessionOfAsync(guest.Emulator.Pid);
        await host.AskAsync(HttpMethod.Post, $"{session}/tracking");
        Assert.Empty(await host.TakeChangedAsync(session, Page));

        // Some that were there, across the border between two regions and not, and some that were not.
        await guest.RunAsync("write 340 4 100");
        await guest.RunAsync("write 1000 2 200");
        Assert.Equal([340, 341, 342, 343, 1000, 1001], await host.TakeChangedAsync(session, Page));
        await host.SnapshotAsync(session, "between");
        await guest.RunAsync("write 342 1 300");
        await guest.RunAsync("write 344 1 300");
        Assert.Equal([342, 344], await host.TakeChangedAsync(session, Page));
        await host.AskAsync(HttpMethod.Delete, $"{session}/tracking");
        await guest.RunAsync("write 340 6 400");
        await guest.EndsRightAsync();
    }

    // What pages hold whose first words were written in turn, up to the highest number that the image has.
    private static long LayNumbers(byte[] image, byte[] expected, int first, int count)
    {
        // Each has been written once at least.
        long last = Enumerable.Range(first, count).Max(page => (long)BitConverter.ToUInt32(image, page * Page));
        for (int i = 0; i < count; i++)
        {
            long behind = (((last - 1 - i) % count) + count) % count;
            BitConverter.TryWriteBytes(expected.AsSpan((first + i) * Page, 4), (uint)(last - behind));
        }

        return last;
    }
}
