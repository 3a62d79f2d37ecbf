using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Dashboard;
using UffdManager.Daemon.Tests.Telemetry;

namespace UffdManager.Daemon.Tests.Dashboard;

/// <summary>The endpoint with the dashboard on it, as the container builds it, and a daemon that the test plays.</summary>
internal sealed class DashboardHost : IAsyncDisposable
{
    private readonly TelemetryHost _host;

    private DashboardHost(TelemetryHost host, FakeLiveSource source)
    {
        _host = host;
        Source = source;
    }

    public FakeLiveSource Source { get; }

    public HttpClient Http => _host.Http;

    public Uri Address => _host.Address;

    public LiveFeed Feed => _host.Get<LiveFeed>();

    public static async Task<DashboardHost> StartAsync(bool dashboard = true)
    {
        FakeLiveSource source = new();
        MetricsOptions metrics = TelemetryHost.AnyPort with { Dashboard = dashboard };
        TelemetryHost host = await TelemetryHost.StartAsync(metrics, more: services => services.AddDashboard(metrics).AddSingleton<ILiveSource>(source));
        return new DashboardHost(host, source);
    }

    public async Task<EventReader> OpenAsync() => await EventReader.OpenAsync(Http);

    /// <summary>The head of an answer to a request whose every line the test writes.</summary>
    public async Task<string> AskAsync(params string[] lines)
    {
        using Socket socket = await ConnectAsync();
        await socket.SendAsync(Encoding.ASCII.GetBytes(string.Join("\r\n", [.. lines, "", ""])));
        byte[] buffer = new byte[8192];
        return Encoding.UTF8.GetString(buffer, 0, await socket.ReceiveAsync(buffer));
    }

    public async Task<Socket> ConnectAsync(int receiveBuffer = 0)
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        if (receiveBuffer > 0)
            socket.ReceiveBufferSize = receiveBuffer;
        await socket.ConnectAsync(Address.Host, Address.Port);
        return socket;
    }

    public async ValueTask DisposeAsync() => await _host.DisposeAsync();
}
