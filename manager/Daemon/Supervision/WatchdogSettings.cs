using System.Globalization;

namespace UffdManager.Daemon.Supervision;

/// <summary>Whether, and how often, the service manager wants to hear that the daemon is alive (sd_watchdog_enabled(3)).</summary>
/// <param name="Timeout">It ends a daemon that has been silent for so long; null when it does not watch.</param>
/// <param name="Problem">What is wrong with what it said; null if nothing is.</param>
internal sealed record WatchdogSettings(TimeSpan? Timeout, string? Problem = null)
{
    private const string TimeVariable = "WATCHDOG_USEC";
    private const string ProcessVariable = "WATCHDOG_PID";

    /// <summary>Reads the variables and forgets them.</summary>
    public static WatchdogSettings Read()
    {
        string? time = Environment.GetEnvironmentVariable(TimeVariable);
        string? process = Environment.GetEnvironmentVariable(ProcessVariable);
        Environment.SetEnvironmentVariable(TimeVariable, null);
        Environment.SetEnvironmentVariable(ProcessVariable, null);
        return Parse(time, process, Environment.ProcessId);
    }

    internal static WatchdogSettings Parse(string? microseconds, string? pid, int ownPid)
    {
        if (string.IsNullOrEmpty(microseconds))
            return new WatchdogSettings(Timeout: null);
        if (!string.IsNullOrEmpty(pid) && pid != ownPid.ToString(CultureInfo.InvariantCulture))
            return new WatchdogSettings(Timeout: null);
        return long.TryParse(microseconds, NumberStyles.None, CultureInfo.InvariantCulture, out long time) && time is > 0 and <= 1L << 50
            ? new WatchdogSettings(TimeSpan.FromMicroseconds(time))
            : new WatchdogSettings(Timeout: null, $"${TimeVariable} is \"{microseconds}\", which is no time in microseconds: the watchdog is not served");
    }
}
