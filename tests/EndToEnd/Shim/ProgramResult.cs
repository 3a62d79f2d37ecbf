namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>All that a finished program has shown to the outside.</summary>
public sealed record ProgramResult(int ExitCode, string Output, string Error)
{
    public override string ToString() => $"exit code {ExitCode}\n{Output}{Error}";
}
