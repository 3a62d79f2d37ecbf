using UffdManager.Daemon.Hosting;
using Xunit;

namespace UffdManager.Daemon.Tests.Hosting;

public sealed class DrainGateTests
{
    [Fact]
    public void Readiness_follows_the_drain_and_comes_back()
    {
        DrainGate drain = new(TimeProvider.System);
        Readiness readiness = new(drain);
        readiness.MarkReady();
        drain.Begin("somebody", out bool isNew);
        Assert.True(isNew);
        Assert.Equal((false, "draining"), (readiness.IsReady, readiness.Reason));
        Assert.True(drain.End());
        Assert.Equal((true, "ready"), (readiness.IsReady, readiness.Reason));
    }

    [Fact]
    public void Second_request_joins_the_drain_that_is_under_way()
    {
        DrainGate drain = new(TimeProvider.System);
        DrainGate.Draining first = drain.Begin("first", out _);
        DrainGate.Draining second = drain.Begin("second", out bool isNew);
        Assert.False(isNew);
        Assert.Same(first, second);
        Assert.True(drain.End());
        Assert.True(first.Over.Task.IsCompleted);
        Assert.False(drain.End());
    }
}
