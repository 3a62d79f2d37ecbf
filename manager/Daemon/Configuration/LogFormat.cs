namespace UffdManager.Daemon.Configuration;

/// <summary>How log lines look on stderr.</summary>
public enum LogFormat
{
    /// <summary>One line for people: time, level, message.</summary>
    Simple,

    /// <summary>One line with the priority prefix that journald reads, sd-daemon(3).</summary>
    Systemd,

    /// <summary>One JSON object a line.</summary>
    Json,
}
