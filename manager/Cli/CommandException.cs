namespace UffdManager.Cli;

/// <summary>A command cannot be done: what it ends with, and what the operator reads.</summary>
/// <param name="exitCode">One of <see cref="ExitCode"/>.</param>
/// <param name="message">The reason, without a full stop.</param>
/// <param name="remedy">What to do about it, one sentence; null if there is nothing to say.</param>
internal sealed class CommandException(int exitCode, string message, string? remedy = null) : Exception(message)
{
    public int ExitCode { get; } = exitCode;

    public string? Remedy { get; } = string.IsNullOrEmpty(remedy) ? null : remedy;

    /// <summary>Name of the problem in the control API; null if the manager has not said this.</summary>
    public string? Problem { get; init; }
}
