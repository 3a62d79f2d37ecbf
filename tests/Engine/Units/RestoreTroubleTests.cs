using UffdManager.Engine.State;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Units;

public sealed class RestoreTroubleTests
{
    [Fact]
    public void Lack_of_memory_descriptors_or_program_files_is_the_managers_own_trouble()
    {
        Assert.True(RestoreTrouble.IsOurs(new SyscallException(Errno.EMFILE, "open", "/proc/1/smaps")));
        Assert.True(RestoreTrouble.IsOurs(new SyscallException(Errno.ENOMEM, "mmap", "state memory")));
        Assert.True(RestoreTrouble.IsOurs(new MissingMethodException("a", "b")));
        Assert.True(RestoreTrouble.IsOurs(new FileNotFoundException("none", "OpenTelemetry.Api, Version=1.0.0.0")));
        Assert.True(RestoreTrouble.IsOurs(new TypeInitializationException("a", new TypeLoadException())));
    }

    [Fact]
    public void What_does_not_check_is_the_sessions()
    {
        Assert.False(RestoreTrouble.IsOurs(new CorruptStateException("a region's record does not check")));
        Assert.False(RestoreTrouble.IsOurs(new System.Text.Json.JsonException()));
        Assert.False(RestoreTrouble.IsOurs(new InvalidOperationException("regions of one session must not overlap")));
        Assert.False(RestoreTrouble.IsOurs(new SyscallException(Errno.ESRCH, "open", "/proc/1/smaps")));
        Assert.False(RestoreTrouble.IsOurs(new FileNotFoundException("none", "/proc/1/maps")));
    }
}
