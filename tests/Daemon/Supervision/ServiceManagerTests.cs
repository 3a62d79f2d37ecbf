using System.Globalization;
using UffdManager.Daemon.Supervision;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

[Collection(SupervisionCollection.Name)]
public sealed class ServiceManagerTests
{
    [Fact]
    public void Every_message_has_the_lines_that_the_protocol_wants()
    {
        using FakeServiceManager received = new();
        using NotifySocket socket = new(received.Address);
        ServiceManager manager = new(socket);
        long before = MonotonicClock.NowNanoseconds / 1000;
        manager.ExtendTimeout(TimeSpan.FromSeconds(2), "Restoring");
        manager.Ready("2 sessions");
        manager.Status("3 sessions");
        manager.StillAlive();
        manager.Reloading();
        manager.Reloaded("4 sessions");
        manager.Failed(Errno.EACCES, "no userfaultfd");
        manager.Stopping("Stopping");
        NotifyMessage stopping = received.WaitFor(message => message.Has("STOPPING=1"), "STOPPING=1");
        NotifyMessage[] messages = [.. received.Messages];
        Assert.Equal(["EXTEND_TIMEOUT_USEC=2000000", "STATUS=Restoring"], messages[0].Lines);
        Assert.Equal(["READY=1", "STATUS=2 sessions"], messages[1].Lines);
        Assert.Equal(["STATUS=3 sessions"], messages[2].Lines);
        Assert.Equal(["WATCHDOG=1"], messages[3].Lines);
        Assert.Equal("RELOADING=1", messages[4].Lines[0]);
        Assert.InRange(long.Parse(messages[4].Value("MONOTONIC_USEC")!, CultureInfo.InvariantCulture), before, MonotonicClock.NowNanoseconds / 1000);
        Assert.Equal(["READY=1", "STATUS=4 sessions"], messages[5].Lines);
        Assert.Equal([$"ERRNO={(int)Errno.EACCES}", "STATUS=no userfaultfd"], messages[6].Lines);
        Assert.Equal(["STOPPING=1", "STATUS=Stopping"], stopping.Lines);
    }

    [Fact]
    public void Reload_before_the_start_is_through_does_not_end_the_start()
    {
        using FakeServiceManager received = new();
        using NotifySocket socket = new(received.Address);
        ServiceManager manager = new(socket);
        manager.Reloading();
        manager.Reloaded("");
        manager.Ready("");
        manager.Stopping("");
        manager.Reloading();
        manager.Reloaded("");
        manager.Status("end");
        received.WaitFor(message => message.Has("STATUS=end"), "the end");
        Assert.Equal(["READY=1", "STOPPING=1", "STATUS=end"], received.Messages.Select(message => message.Lines[0]));
    }

    [Fact]
    public void Status_text_cannot_become_a_second_assignment()
    {
        using FakeServiceManager received = new();
        using NotifySocket socket = new(received.Address);
        new ServiceManager(socket).Status("innocent\nMAINPID=1\r\nREADY=1");
        NotifyMessage message = received.WaitFor(message => message.Value("STATUS") is not null, "a status");
        Assert.Equal("STATUS=innocent MAINPID=1 READY=1", message.Text);
    }
}
