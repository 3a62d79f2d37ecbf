using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>
/// Outputs that somebody has looked at, in tests/Cli/Golden. A wanted change: set UFFD_TEST_WRITE_GOLDEN=1, run the tests, look at the difference, commit it.
/// </summary>
internal static class Golden
{
    /// <summary>Whether outputs are written instead of compared; a test sees to it that such a run is no green one.</summary>
    public static bool IsWriting { get; } = Environment.GetEnvironmentVariable("UFFD_TEST_WRITE_GOLDEN") == "1";

    public static void Verify(string name, string actual)
    {
        string path = Path.Combine(NativeProgram.RepositoryRoot, "tests", "Cli", "Golden", $"{name}.txt");
        if (IsWriting)
        {
            File.WriteAllText(path, actual);
            return;
        }

        Assert.Equal(File.ReadAllText(path), actual);
    }
}
