namespace UffdManager.Daemon.Dashboard;

/// <summary>First event of a stream: who speaks.</summary>
internal sealed record LiveHello
{
    /// <summary>Fingerprint of the files of the page: an open page that is older loads itself anew.</summary>
    public required string Assets { get; init; }

    /// <summary>Version of the daemon.</summary>
    public required string Version { get; init; }

    /// <summary>Its process; with <see cref="StartedAt"/>, which tells a page that another daemon answers now.</summary>
    public required int Pid { get; init; }

    /// <summary>When it started.</summary>
    public required string StartedAt { get; init; }

    /// <summary>Name of the host.</summary>
    public required string Host { get; init; }

    /// <summary>Release of the kernel.</summary>
    public required string Kernel { get; init; }

    /// <summary>Time between two frames.</summary>
    public required double IntervalSeconds { get; init; }
}
