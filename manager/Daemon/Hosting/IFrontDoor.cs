namespace UffdManager.Daemon.Hosting;

/// <summary>A listener that speaks one hand-over protocol and yields sessions. The daemon starts and stops it.</summary>
public interface IFrontDoor
{
    /// <summary>Short lower-case name, used in log lines and as a metric label.</summary>
    string Name { get; }

    /// <summary>Binds and begins to accept.</summary>
    /// <returns>Completes when who is told that the daemon is ready can connect.</returns>
    /// <exception cref="UffdManager.Linux.SyscallException">The socket cannot be had.</exception>
    Task StartAsync();

    /// <summary>Stops accepting, tells every connection, closes them, removes the socket's file.</summary>
    /// <param name="cancellationToken">Set when waiting for slow peers must end.</param>
    Task StopAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Stops accepting and closes the connections without a farewell: what they belong to goes on, under the next manager, to which who connects from here
    /// on is connected already. Requests under way get a moment to be answered.
    /// </summary>
    Task HandOverAsync();

    /// <summary>Completes when the front door's thread has taken a turn, and at once when the front door is not open.</summary>
    Task PingAsync();
}
