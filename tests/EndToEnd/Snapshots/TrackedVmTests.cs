using System.Globalization;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>Lists of the pages that VMs change, whatever their VMM made its userfaultfd for.</summary>
[Collection(SnapshotCollection.Name)]
public sealed class TrackedVmTests(SnapshotImages images)
{
    [SkippableTheory]
    [InlineData("--version", "1.4", "--regions", "3")]
    [InlineData("--version", "1.11", "--regions", "3", "--balloon")]
    [InlineData("--version", "1.14", "--regions", "2", "--virtio-mem", "4194304")]
    [InlineData("--fork")]
    [InlineData("--sync-wp")]
    public async Task Pages_that_a_vm_writes_are_listed_and_no_others(params string[] options)
    {
        await CheckAsync(4096, [2, 700, 1365, 1366, 2730, 2731, 3100, 3599], [700, 701, 3599], [600, 2900, 3200], options);
    }

    [SkippableTheory]
    [InlineData("--version", "1.7")]
    [InlineData("--version", "1.14")]
    [InlineData("--fork")]
    public async Task Huge_pages_that_a_vm_writes_are_listed_and_no_others(params string[] options)
    {
        using HugePages pool = HugePages.AtLeast(6);
        await CheckAsync(2 << 20, [0, 2], [0], [1], ["--length", "8388608", "--huge", "--regions", "3", .. options]);
    }

    [SkippableFact]
    public async Task Pages_that_a_balloon_took_are_listed()
    {
        await using VmHost host = await VmHost.StartAsync(images.Small);
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(host.Socket, images.Small, "--balloon", "--regions", "3");
        await RunAsync(guest, "write", 5, 6);
        string session = await host.SessionOfAsync(guest.Emulator.Pid);
        await host.AskAsync(HttpMethod.Post, $"{session}/tracking");
        await RunAsync(guest, "remove", 6, 3000);
        Assert.Equal([6, 3000], await host.TakeChangedAsync(session, 4096));
        await RunAsync(guest, "read", 6, 3000);
        Assert.Empty(await host.TakeChangedAsync(session, 4096));
        await guest.EndsRightAsync();
    }

    // Pages that are there when it begins, of which nothing is known, and that come meanwhile; twice, with a snapshot in between where there may be one.
    private async Task CheckAsync(int pageBytes, long[] written, long[] again, long[] read, string[] options)
    {
        await using VmHost host = await VmHost.StartAsync(images.Small);
        await using ScriptedGuest guest = await ScriptedGuest.StartAsync(host.Socket, images.Small, options);
        await RunAsync(guest, "write", written[..2]);
        await RunAsync(guest, "read", read[0]);
        string session = await host.SessionOfAsync(guest.Emulator.Pid);
        await host.AskAsync(HttpMethod.Post, $"{session}/tracking");
        Assert.Empty(await host.TakeChangedAsync(session, pageBytes));
        await RunAsync(guest, "write", written);
        await RunAsync(guest, "read", read);
        Assert.Equal(written, await host.TakeChangedAsync(session, pageBytes));
        if (!options.Contains("--fork"))
            await host.SnapshotAsync(session, "between");
        await RunAsync(guest, "write", again);
        await RunAsync(guest, "read", written);
        Assert.Equal(again, await host.TakeChangedAsync(session, pageBytes));
        await host.AskAsync(HttpMethod.Delete, $"{session}/tracking");
        await RunAsync(guest, "write", written[0]);
        await guest.EndsRightAsync();
    }

    private static async Task RunAsync(ScriptedGuest guest, string verb, params long[] pages)
    {
        foreach (long page in pages)
            await guest.RunAsync(string.Create(CultureInfo.InvariantCulture, $"{verb} {page}"));
    }
}
