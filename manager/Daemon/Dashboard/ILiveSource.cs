namespace UffdManager.Daemon.Dashboard;

/// <summary>Where the page's data comes from.</summary>
internal interface ILiveSource
{
    /// <summary>What does not change while the daemon runs.</summary>
    LiveHello Hello { get; }

    /// <summary>Looks at the daemon once per <see cref="DashboardLimits.Interval"/>, as long as somebody enumerates.</summary>
    /// <exception cref="TimeoutException">A fault loop does not answer.</exception>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    IAsyncEnumerable<LiveSample> SampleAsync(CancellationToken cancellationToken);

    /// <summary>A session and the pages of some of its regions; null when there is no such session.</summary>
    /// <param name="session">Its id.</param>
    /// <param name="page">Which of its regions: from the <paramref name="page"/> times <see cref="DashboardLimits.RegionsPerPage"/>-th on, by address.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <exception cref="TimeoutException">The fault loop of the session does not answer.</exception>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    Task<SessionMemory?> MemoryAsync(long session, int page, CancellationToken cancellationToken);
}
