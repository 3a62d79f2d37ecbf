using System.Diagnostics;

namespace UffdManager.TestSupport;

/// <summary>Programs of .NET that tests start, and many of which they kill.</summary>
public static class DotnetProgram
{
    /// <summary>
    /// Starts it without the runtime's debugging socket and pipes, as the installed launcher and the unit do: who is killed leaves them in the directory for temporary files. What the environment says
    /// already is left as it is.
    /// </summary>
    /// <param name="start">What is to be started, itself or by another program.</param>
    public static void WithoutDebugging(this ProcessStartInfo start)
    {
        ArgumentNullException.ThrowIfNull(start);
        start.Environment.TryAdd("DOTNET_EnableDiagnostics", "0");
    }
}
