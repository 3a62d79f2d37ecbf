using System.Diagnostics;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>Memory that KVM alone maps is known by the name that the kernel gives it, of which there have been several: here by a real one.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class GuestMemfdTests
{
    private const int CannotBeHad = 77;
    private const int Killed = 128 + 9;

    [SkippableFact]
    public async Task Vm_whose_memory_is_a_guest_memfd_is_killed_with_that_reason()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using Process vm = Process.Start(new ProcessStartInfo(NativeProgram.Build("guest-memfd.c"), [host.SocketPath])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        })!;
        using CancellationTokenSource patience = new(Eventually.DefaultDeadline);
        Task<string> errors = vm.StandardError.ReadToEndAsync(patience.Token);
        string output = await vm.StandardOutput.ReadToEndAsync(patience.Token);
        await vm.WaitForExitAsync(patience.Token);

        // Of kernels, and not of machines that a complete one must have.
        Skip.If(vm.ExitCode == CannotBeHad, await errors);
        Assert.True(vm.ExitCode == Killed, $"ended with {vm.ExitCode}: {output}{await errors}\n{host.Log.Text}");
        host.AssertKills(nameof(HandOverRefusal.BadMessage));
        Assert.True(host.Log.Text.Contains("its memory is a guest_memfd, which this manager does not serve", StringComparison.Ordinal), $"{output}\n{host.Log.Text}");
    }
}
