namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>One run of uffd-firecracker or uffd-microguest: a VMM that knows every byte that its guest's memory must hold.</summary>
public sealed class Emulator : WatchedProgram
{
    /// <summary>Exit code: every byte was right.</summary>
    public const int Right = 0;

    /// <summary>Exit code: what cannot be served was served, rightly.</summary>
    public const int Served = 2;

    /// <summary>Exit code: it was neither served nor ended.</summary>
    public const int Frozen = 3;

    /// <summary>Exit code: the manager hung up before it had anything.</summary>
    public const int Refused = 4;

    /// <summary>Exit code: a page is poisoned.</summary>
    public const int Poisoned = 5;

    /// <summary>Exit code: this machine cannot run it.</summary>
    public const int Unable = 71;

    /// <summary>Exit code of a process that was killed.</summary>
    public const int Killed = 128 + 9;

    private Emulator(string program, string[] arguments)
        : base("the emulator", program, arguments)
    {
    }

    /// <summary>Starts uffd-firecracker; options are those of the program.</summary>
    public static Emulator Start(string mode, string socket, string image, params string[] options) =>
        new(SnapshotImages.Emulator, [.. mode.Split(' '), "--socket", socket, "--image", image, "--patience", "30", .. options]);

    /// <summary>Starts uffd-microguest.</summary>
    public static Emulator StartMicroguest(string mode, string socket, string image, params string[] options) =>
        new(SnapshotImages.Microguest, [mode, "--socket", socket, "--image", image, "--patience", "30", .. options]);

    /// <summary>Waits until its guest has read some more pages.</summary>
    public Task AwaitProgressAsync(long reads = 100) => AwaitProgressAsync("reads", reads);
}
