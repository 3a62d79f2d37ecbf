using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>A guest whose threads do what a test says, one command each, so that their order is the test's.</summary>
internal sealed class ScriptedGuest : IAsyncDisposable
{
    private readonly Emulator _emulator;
    private int _commands;

    private ScriptedGuest(Emulator emulator) => _emulator = emulator;

    public static async Task<ScriptedGuest> StartAsync(string socket, string image, params string[] options)
    {
        Emulator emulator = Emulator.Start("script", socket, image, options);
        await emulator.AwaitLineAsync("handed-over");
        return new ScriptedGuest(emulator);
    }

    /// <summary>A guest on KVM, which knows other commands (tests/native/microguest/script.h); skips the test where it cannot be had.</summary>
    public static async Task<ScriptedGuest> StartMicroguestAsync(string socket, string image, params string[] options)
    {
        Require.That(File.Exists("/dev/kvm"), "needs /dev/kvm");
        Emulator emulator = Emulator.StartMicroguest("script", socket, image, options);
        try
        {
            await emulator.AwaitLineAsync("handed-over");
        }
        catch when (emulator.HasExited)
        {
            Require.That(await emulator.AwaitEndAsync() != Emulator.Unable, emulator.Output);
            throw;
        }

        return new ScriptedGuest(emulator);
    }

    public Emulator Emulator => _emulator;

    /// <summary>Begins a command and waits until its thread sleeps in the kernel: for a page, or for its event to be read.</summary>
    public async Task BeginAsync(string command)
    {
        int number = await BeginUnobservedAsync(command);
        long tid = Emulator.Value(await _emulator.AwaitLineAsync($"begun {number}"), "tid");
        Eventually.True(() => IsAsleep(tid), $"\"{command}\" to wait for the manager");
    }

    /// <summary>Runs a command to its end.</summary>
    public async Task RunAsync(string command)
    {
        int number = await BeginUnobservedAsync(command);
        await _emulator.AwaitLineAsync($"done {number}");
    }

    /// <summary>Lets every command end, and the guest look at all of its memory; nothing may be left waiting in the kernel.</summary>
    public async Task EndsRightAsync()
    {
        _emulator.Release();
        await _emulator.EndsWithAsync(Emulator.Right);
    }

    public ValueTask DisposeAsync() => _emulator.DisposeAsync();

    private async Task<int> BeginUnobservedAsync(string command)
    {
        await _emulator.SayAsync(command);
        return ++_commands;
    }

    private bool IsAsleep(long tid)
    {
        string where = File.ReadAllText($"/proc/{_emulator.Pid}/task/{tid}/wchan");
        return where.Contains("userfault", StringComparison.Ordinal);
    }
}
