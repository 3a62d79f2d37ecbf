using UffdManager.Daemon.Cli;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Hosting;

public sealed class FrontDoorServiceTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(Errno.EACCES, ExitCode.Permission)]
    [InlineData(Errno.EPERM, ExitCode.Permission)]
    [InlineData(Errno.EADDRINUSE, ExitCode.CannotCreate)]
    [InlineData(Errno.ENOSPC, ExitCode.CannotCreate)]
    public async Task Door_that_does_not_open_decides_the_exit_code(Errno errno, int exitCode)
    {
        FrontDoorService service = new([new Door(errno)], Options(), new Readiness());
        StartException exception = await Assert.ThrowsAsync<StartException>(() => service.StartAsync(CancellationToken.None));
        Assert.Equal(exitCode, exception.ExitCode);
    }

    [Fact]
    public async Task Stop_closes_the_doors_that_opened_and_ends_readiness()
    {
        Door open = new(Errno.OK);
        Readiness readiness = new();
        FrontDoorService service = new([open, new Door(Errno.EADDRINUSE)], Options(), readiness);
        await Assert.ThrowsAsync<StartException>(() => service.StartAsync(CancellationToken.None));
        readiness.MarkReady();
        Assert.True(readiness.IsReady);

        await service.StopAsync(CancellationToken.None);
        Assert.True(open.IsStopped);
        Assert.False(readiness.IsReady);
        readiness.MarkReady();
        Assert.Equal("stopping", readiness.Reason);
    }

    private ListenOptions Options() =>
        Layers.LoadValid(Layers.Minimal, $$"""{ "listen": { "socket": "{{_directory.Combine("sub", "m.sock")}}" } }""").Listen;

    private sealed class Door(Errno errno) : IFrontDoor
    {
        public string Name => "test";

        public bool IsStopped { get; private set; }

        public Task StartAsync() => errno == Errno.OK ? Task.CompletedTask : throw new SyscallException(errno, "bind", "m.sock");

        public Task StopAsync(CancellationToken cancellationToken)
        {
            IsStopped = true;
            return Task.CompletedTask;
        }

        public Task HandOverAsync() => Task.CompletedTask;

        public Task PingAsync() => Task.CompletedTask;
    }
}
