using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>The lock by which test processes take turns.</summary>
public sealed class MachineLockTests
{
    private const uint Nobody = 65534;

    [Fact]
    public void Lock_is_held_by_one_at_a_time()
    {
        using TempDirectory directory = new();
        string path = directory.Combine("turn.lock");
        using (MachineLock? first = MachineLock.TryTake(path))
        {
            Assert.NotNull(first);
            Assert.Null(MachineLock.TryTake(path));
        }

        using MachineLock? second = MachineLock.TryTake(path);
        Assert.NotNull(second);
    }

    [SkippableFact]
    public void File_that_another_user_has_left_where_everybody_may_write_is_taken()
    {
        Require.Root();
        using TempDirectory directory = new();
        string path = directory.Combine("turn.lock");
        MachineLock.TryTake(path)!.Dispose();
        using (SafeFile file = FileIo.Open(path, OpenFlags.ReadOnly))
            Assert.Equal(Errno.OK, FileIo.ChangeOwner(file, Nobody, Nobody));
        FileIo.ChangeMode(directory.Path, 0x3ff);
        using MachineLock? taken = MachineLock.TryTake(path);
        Assert.NotNull(taken);
    }
}
