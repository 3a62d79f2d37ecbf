namespace UffdManager.Linux;

/// <summary>Signal numbers, the same on every architecture that .NET runs on; see signal(7).</summary>
public static class Signals
{
    /// <summary>SIGHUP.</summary>
    [CName("SIGHUP")] public const int HangUp = 1;

    /// <summary>SIGKILL.</summary>
    [CName("SIGKILL")] public const int Kill = 9;

    /// <summary>SIGTERM.</summary>
    [CName("SIGTERM")] public const int Terminate = 15;
}
