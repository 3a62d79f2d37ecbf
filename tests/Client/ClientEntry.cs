using System.Threading.Channels;
using UffdManager.Client;

namespace UffdManager.TestClient;

/// <summary>A session and the reports of its lost connections.</summary>
internal sealed class ClientEntry : IAsyncDisposable
{
    private readonly Channel<ReconnectedEventArgs> _reports = Channel.CreateUnbounded<ReconnectedEventArgs>();

    public ClientEntry(UffdManagerClient client)
    {
        Client = client;
        client.Reconnected += (_, report) => _reports.Writer.TryWrite(report);
    }

    public UffdManagerClient Client { get; }

    /// <summary>The next report that was not taken yet.</summary>
    public ValueTask<ReconnectedEventArgs> NextReportAsync() => _reports.Reader.ReadAsync();

    public ValueTask DisposeAsync() => Client.DisposeAsync();
}
