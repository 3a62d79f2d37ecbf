namespace UffdManager.Daemon.Hosting;

/// <summary>The daemon cannot start, for a reason its administrator can do something about.</summary>
/// <param name="exitCode">What the process returns.</param>
/// <param name="message">What is wrong and, where it is known, the remedy.</param>
/// <param name="cause">What the kernel or a library said.</param>
internal sealed class StartException(int exitCode, string message, Exception? cause = null) : Exception(message, cause)
{
    public int ExitCode { get; } = exitCode;
}
