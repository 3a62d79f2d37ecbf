namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>All that a finished program has shown to the outside.</summary>
public sealed record ProgramResult(int ExitCode, string Output, string Error)
{
    private const int LongestPart = 300;

    public override string ToString() => $"exit code {ExitCode}\n{Output}{Error}";

    /// <summary>In what it differs from another one, what tells most first: of a failed test only so much is shown.</summary>
    public string DifferenceFrom(ProgramResult expected)
    {
        ArgumentNullException.ThrowIfNull(expected);
        List<string> parts = [ExitCode == expected.ExitCode ? $"exit code {ExitCode} as expected" : $"exit code {ExitCode}, expected {expected.ExitCode}"];
        if (Output != expected.Output)
            parts.Add("output: " + FirstDifference(expected.Output, Output));
        if (Error != expected.Error)
            parts.Add("standard error: " + FirstDifference(expected.Error, Error));
        return string.Join('\n', parts);
    }

    private static string FirstDifference(string expected, string actual)
    {
        string[] wanted = expected.Split('\n');
        string[] lines = actual.Split('\n');
        int at = 0;
        while (at < wanted.Length && at < lines.Length && wanted[at] == lines[at])
            at++;
        return $"line {at + 1} is \"{Line(lines, at)}\", expected \"{Line(wanted, at)}\"";
    }

    private static string Line(string[] lines, int at)
    {
        string line = at < lines.Length ? lines[at] : "(nothing)";
        return line.Length <= LongestPart ? line : line[..LongestPart];
    }
}
