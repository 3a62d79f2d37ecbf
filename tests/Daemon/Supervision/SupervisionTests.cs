using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>The daemon and its service manager: what it is given, what it tells, which signal means what.</summary>
[Collection(SupervisionCollection.Name)]
public sealed class SupervisionTests : IDisposable
{
    private const int Hangup = 1;
    private const int Interrupt = 2;
    private const int Quit = 3;
    private const int Terminate = 15;
    private const ulong Page = 4096;

    private readonly SupervisedFolder _folder = new();
    private readonly FakeServiceManager _manager = new();

    public void Dispose()
    {
        _manager.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Daemon_says_when_it_is_ready_reloads_and_stops()
    {
        using SupervisedDaemon daemon = SupervisedDaemon.StartReady(_folder, _manager);
        NotifyMessage ready = _manager.WaitFor(message => message.Has("READY=1"), "READY=1");
        Assert.Matches("^0 sessions, 0 tenants, [0-9]+ fault loops?$", ready.Value("STATUS"));
        daemon.WaitForLog("keeps the descriptors");
        _manager.Forget();
        using (SafePidFd process = PidFd.TryOpen(daemon.Pid, out _)!)
            Assert.Equal(Errno.OK, PidFd.SendSignal(process, Hangup));
        _manager.WaitFor(message => message.Has("RELOADING=1"), "RELOADING=1");
        _manager.WaitFor(message => message.Has("READY=1"), "READY=1 again");
        Assert.Equal(0, daemon.End(Interrupt).ExitCode);
        _manager.WaitFor(message => message.Has("STOPPING=1"), "STOPPING=1");
    }

    [Theory]
    [InlineData(Interrupt)]
    [InlineData(Quit)]
    public void Interrupted_daemon_ends_its_sessions_and_leaves_nothing_behind(int signal)
    {
        using SupervisedDaemon daemon = SupervisedDaemon.StartReady(_folder, _manager);
        daemon.WaitForLog("keeps the descriptors");
        using ClientProcess client = ClientProcess.Start();
        ulong address = client.Map("anon", 4 * Page).Address;
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(client, _folder.Socket);
        using (connection)
        {
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, 4 * Page));
            Assert.Contains($"session-{welcome.SessionId}", _manager.Names);
            Assert.Contains("native", _manager.Names);
            Assert.Equal(0, daemon.End(signal).ExitCode);
            Assert.Equal(GoodbyeReason.ShuttingDown, Assert.IsType<GoodbyeMessage>(connection.Receive()).Reason);
        }

        daemon.WaitForLog("released");
        Eventually.True(() => _manager.Names.Count == 0, "an empty store");
        Assert.False(File.Exists(_folder.Socket));
        Assert.Equal(0, client.ReadByte(address));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Terminated_daemon_whose_descriptors_nobody_keeps_ends_its_sessions(bool isSupervised)
    {
        _manager.Keeps = false;
        using SupervisedDaemon daemon = SupervisedDaemon.StartReady(_folder, isSupervised ? _manager : null);
        if (isSupervised)
            daemon.WaitForLog("keeps no descriptors");
        using ClientProcess client = ClientProcess.Start();
        ulong address = client.Map("anon", 4 * Page).Address;
        (WireConnection connection, _) = WireConnection.Attach(client, _folder.Socket);
        using (connection)
        {
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, 4 * Page));
            Assert.Equal(0, daemon.End(Terminate).ExitCode);
            Assert.Equal(GoodbyeReason.ShuttingDown, Assert.IsType<GoodbyeMessage>(connection.Receive()).Reason);
        }

        daemon.WaitForLog("released");
    }

    [Fact]
    public void Socket_that_was_handed_in_is_served_and_outlives_the_daemon()
    {
        string path = _folder.NewPath();
        using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.SeqPacket, 16, 0b110_110_110);
        using SupervisedDaemon daemon = SupervisedDaemon.StartReady(_folder, _manager, [("native", listener)]);
        Assert.Contains($"socket {path},", daemon.WaitForLog("Ready: "), StringComparison.Ordinal);
        using ClientProcess client = ClientProcess.Start();
        using (WireConnection connection = WireConnection.Open(client, path))
            connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.NoSession));
        Assert.False(File.Exists(_folder.Socket));
        Assert.DoesNotContain("native", _manager.Names);
        Assert.Equal(0, daemon.End(Interrupt).ExitCode);
        Assert.True(File.Exists(path));
    }

    [Fact]
    public void Strangers_among_the_descriptors_are_closed_told_and_given_up()
    {
        _manager.Plant("stranger", EventFd.Create().Duplicate<SafeFile>());
        _manager.Plant("probe", EventFd.Create().Duplicate<SafeFile>());
        _manager.Plant("native", EventFd.Create().Duplicate<SafeFile>());
        using SupervisedDaemon daemon = SupervisedDaemon.StartReady(_folder, _manager);
        Assert.Contains("anon_inode:[eventfd]", daemon.WaitForLog("Descriptor \"stranger\" came in"), StringComparison.Ordinal);
        daemon.WaitForLog("not a listening SeqPacket socket");
        _manager.WaitFor(message => message.Has("FDSTOREREMOVE=1") && message.Value("FDNAME") == "stranger", "the removal");
        Eventually.True(() => !_manager.Names.Contains("stranger") && !_manager.Names.Contains("probe"), "a store without strangers");
        Assert.DoesNotContain(daemon.Log, line => line.Contains("\"probe\"", StringComparison.Ordinal));
        string[] open = [.. Directory.GetFiles($"/proc/{daemon.Pid}/fd").Select(file => $"{new FileInfo(file).LinkTarget}")];
        using SafeFd any = EventFd.Create();

        // The daemon's own: its loops and its front door.
        daemon.End(Interrupt);
        Assert.InRange(open.Count(file => file.Contains("eventfd", StringComparison.Ordinal)), 1, 8);
    }

    [Theory]
    [InlineData("LISTEN_FDS", "many")]
    [InlineData("LISTEN_FDS", "70000")]
    [InlineData("LISTEN_FDNAMES", "::::")]
    [InlineData("WATCHDOG_USEC", "soon")]
    [InlineData("NOTIFY_SOCKET", "nonsense")]
    public void Garbage_in_the_environment_is_told_and_does_no_harm(string name, string value)
    {
        Dictionary<string, string> environment = new() { [name] = value };
        if (name == "LISTEN_FDNAMES")
            environment["LISTEN_FDS"] = "1";
        using SupervisedDaemon daemon = SupervisedDaemon.StartReady(_folder, manager: null, environment: environment);
        daemon.WaitForLog(name == "LISTEN_FDNAMES" ? "LISTEN_FDNAMES names 5" : value);
        Assert.Equal(0, daemon.End(Interrupt).ExitCode);
    }

    [Fact]
    public void Sessions_that_begin_while_the_service_manager_does_not_read_are_kept_once_it_does()
    {
        using SupervisedDaemon daemon = SupervisedDaemon.StartReady(_folder, _manager);
        daemon.WaitForLog("keeps the descriptors");
        _manager.WaitFor(message => message.Has("READY=1"), "READY=1");
        _manager.Pause(true);
        using (SafeSocketFd noise = UnixSocket.ConnectDatagram(_manager.Address))
        {
            while (UnixSocket.Send(noise, "STATUS=noise"u8, [], dontWait: true) == Errno.OK)
            {
            }
        }

        using ClientProcess client = ClientProcess.Start();
        List<(WireConnection Connection, WelcomeMessage Welcome)> sessions = [];
        for (int i = 0; i < 5; i++)
            sessions.Add(WireConnection.Attach(client, _folder.Socket));
        _manager.Pause(false);
        foreach ((WireConnection connection, WelcomeMessage welcome) in sessions)
        {
            _manager.WaitForName($"session-{welcome.SessionId}");
            connection.Dispose();
        }
    }

    [Fact]
    public void Watchdog_is_silent_while_a_fault_loop_stands_still_and_the_log_says_which()
    {
        Dictionary<string, string> environment = new()
        {
            ["WATCHDOG_USEC"] = "900000",
            ["UFFD_MANAGER__engine__faultLoops"] = "2",
            ["UFFD_MANAGER_CRASH_AT"] = "loop-turn:40:stall",
        };
        using SupervisedDaemon daemon = SupervisedDaemon.Start(_folder, _manager, environment: environment);
        string line = daemon.WaitForLog("Standing still");
        Assert.Matches("fault loop [01]", line);

        // A machine that is too busy makes a loop late before it stands still for good, and a beat may be on its way when it is said.
        Eventually.True(IsSilent, TimeSpan.FromMinutes(1), "five beats to fail to come");
        daemon.End(9);

        bool IsSilent()
        {
            int beats = Beats();
            return !SpinWait.SpinUntil(() => Beats() > beats, TimeSpan.FromSeconds(1.5));
        }

        int Beats() => _manager.Messages.Count(message => message.Has("WATCHDOG=1"));
    }
}
