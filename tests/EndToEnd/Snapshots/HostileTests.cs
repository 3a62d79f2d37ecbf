using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>Whoever hands over what nobody can serve is ended, and nobody else notices.</summary>
[Collection(SnapshotCollection.Name)]
public sealed class HostileTests(SnapshotImages images)
{
    // Nothing has been handed over: there is nobody to be saved from waiting.
    private static readonly string[] s_sendsNothing = ["silence", "hangs-up"];

    // Odd, and yet everything that is needed comes in the end.
    private static readonly string[] s_mayBeServed = ["late-descriptor"];

    // The kernel does not tell whose memory a userfaultfd is for. Who sends another's waits for a page of its own by its own doing.
    private static readonly string[] s_mayFreeze = ["foreign"];

    [SkippableFact]
    public async Task Hand_over_that_cannot_be_served_ends_its_vm_and_no_other()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using Emulator neighbour = Emulator.Start("load", daemon.Socket, images.Small, "--seconds", "0", "--balloon", "--pace", "500");
        await neighbour.AwaitProgressAsync();
        double before = Descriptors(daemon);
        List<string> wrong = [];
        double killed = 0;
        foreach (string kind in SnapshotImages.HostileKinds())
        {
            await using Emulator emulator = Emulator.Start($"hostile {kind}", daemon.Socket, images.Small, "--patience", s_mayFreeze.Contains(kind) ? "1" : "15");
            int exitCode = await emulator.AwaitEndAsync();
            bool isRight = s_sendsNothing.Contains(kind) ? exitCode == Emulator.Refused
                : exitCode == Emulator.Killed || (s_mayBeServed.Contains(kind) && exitCode == Emulator.Served)
                || (s_mayFreeze.Contains(kind) && exitCode == Emulator.Frozen);
            if (!isRight)
                wrong.Add($"{kind} ended with {exitCode}: {emulator.Output}");
            killed += exitCode == Emulator.Killed ? 1 : 0;
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong) + "\n" + string.Join('\n', daemon.Process.LogLines));
        await neighbour.AwaitProgressAsync();
        neighbour.Terminate();
        await neighbour.EndsWithAsync(Emulator.Right);
        await daemon.AwaitNoSessionsAsync();
        Assert.Equal(killed, await daemon.MetricAsync("uffd_manager_vms_killed_total"));

        // Nothing of 253 descriptors a message, and of userfaultfds of others, is left.
        Eventually.True(() => Descriptors(daemon) <= before, "all received descriptors to be closed");
    }

    [SkippableFact]
    public async Task Peers_that_say_nothing_keep_nobody_from_being_served()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        List<Emulator> silent = [];
        try
        {
            for (int i = 0; i < 32; i++)
                silent.Add(Emulator.Start("hostile silence", daemon.Socket, images.Small));
            await using Emulator guest = Emulator.Start("run", daemon.Socket, images.Small);
            await guest.EndsWithAsync(Emulator.Right);
            foreach (Emulator peer in silent)
                await peer.EndsWithAsync(Emulator.Refused);
        }
        finally
        {
            foreach (Emulator peer in silent)
                await peer.DisposeAsync();
        }
    }

    private static int Descriptors(SnapshotDaemon daemon) => Directory.GetFileSystemEntries($"/proc/{daemon.Process.Pid}/fd").Length;
}
