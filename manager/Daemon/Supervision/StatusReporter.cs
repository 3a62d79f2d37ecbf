using Microsoft.Extensions.Hosting;
using UffdManager.Engine;
using UffdManager.Engine.Sessions;

namespace UffdManager.Daemon.Supervision;

/// <summary>Keeps the line up to date that `systemctl status` shows of the daemon.</summary>
internal sealed class StatusReporter(FaultEngine engine, ServiceManager manager, NotifySocket socket, TimeProvider time) : IHostedService, IDisposable
{
    /// <summary>How often the numbers are looked at; nothing is sent while they stay.</summary>
    public static readonly TimeSpan Period = TimeSpan.FromSeconds(10);

    private ITimer? _timer;
    private string _last = "";

    /// <summary>What the daemon is about at this moment.</summary>
    public string Describe()
    {
        IReadOnlyCollection<Session> sessions = engine.Sessions();
        int tenants = sessions.Select(session => session.Tenant.Name).Distinct(StringComparer.OrdinalIgnoreCase).Count();
        return $"{Count(sessions.Count, "session")}, {Count(tenants, "tenant")}, {Count(engine.Loops().Count, "fault loop")}";
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (socket.IsOpen)
            _timer = time.CreateTimer(_ => Refresh(), state: null, Period, Period);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        _timer?.Dispose();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void Dispose() => _timer?.Dispose();

    private void Refresh()
    {
        string now = Describe();
        if (now == Interlocked.Exchange(ref _last, now))
            return;
        manager.Status(now);
    }

    private static string Count(int count, string of) => count == 1 ? $"1 {of}" : $"{count} {of}s";
}
