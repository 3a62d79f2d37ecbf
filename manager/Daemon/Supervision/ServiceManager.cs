using UffdManager.Linux;

namespace UffdManager.Daemon.Supervision;

/// <summary>What the daemon tells its service manager about itself, line by line as sd_notify(3) has it. Any thread; nothing waits.</summary>
internal sealed class ServiceManager(NotifySocket socket)
{
    private volatile bool _isReady;

    /// <summary>The daemon serves from here on.</summary>
    public void Ready(string status)
    {
        _isReady = true;
        socket.Send($"READY=1\nSTATUS={OneLine(status)}");
    }

    /// <summary>What the daemon is about, for people.</summary>
    public void Status(string status) => socket.Send($"STATUS={OneLine(status)}");

    /// <summary>The configuration is being read again, until <see cref="Reloaded"/>. Not told before <see cref="Ready"/>: it would end the start.</summary>
    public void Reloading()
    {
        if (_isReady)
            socket.Send($"RELOADING=1\nMONOTONIC_USEC={MonotonicClock.NowNanoseconds / 1000}\nSTATUS=Reading the configuration again");
    }

    /// <summary>The configuration was read again, whether or not it is used.</summary>
    public void Reloaded(string status)
    {
        if (_isReady)
            Ready(status);
    }

    /// <summary>The daemon is about to end.</summary>
    public void Stopping(string status)
    {
        _isReady = false;
        socket.Send($"STOPPING=1\nSTATUS={OneLine(status)}");
    }

    /// <summary>Every thread that must turn has taken a turn.</summary>
    public void StillAlive() => socket.Send("WATCHDOG=1");

    /// <summary>The start, or the stop, takes this much longer from now on.</summary>
    public void ExtendTimeout(TimeSpan time, string status) =>
        socket.Send($"EXTEND_TIMEOUT_USEC={(long)time.TotalMicroseconds}\nSTATUS={OneLine(status)}");

    /// <summary>The daemon ends because it cannot go on: an errno for those who look at the service.</summary>
    public void Failed(Errno errno, string status) => socket.Send($"ERRNO={(int)errno}\nSTATUS={OneLine(status)}");

    // A newline would begin another assignment.
    private static string OneLine(string text) => text.ReplaceLineEndings(" ");
}
