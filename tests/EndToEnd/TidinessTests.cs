using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>What is left of a manager that is killed.</summary>
public sealed class TidinessTests
{
    [Fact]
    public async Task Killed_manager_leaves_nothing_in_the_directory_for_temporary_files()
    {
        using TempDirectory temporary = new();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(environment: new Dictionary<string, string> { ["TMPDIR"] = temporary.Path });
        daemon.Kill();
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary.Path));
    }
}
