using System.Threading.Channels;
using UffdManager.Client;

namespace UffdManager.TestClient;

/// <summary>A session and the reports of its lost connections.</summary>
internal sealed class ClientEntry : IAsyncDisposable
{
    private readonly Channel<ReconnectedEventArgs> _reports = Channel.CreateUnbounded<ReconnectedEventArgs>();

    private readonly Channel<ReconnectRefusedEventArgs> _refusals = Channel.CreateUnbounded<ReconnectRefusedEventArgs>();

    public ClientEntry(UffdManagerClient client)
    {
        Client = client;
        client.Reconnected += (_, report) => _reports.Writer.TryWrite(report);
        client.ReconnectRefused += (_, refusal) => _refusals.Writer.TryWrite(refusal);
    }

    public UffdManagerClient Client { get; }

    /// <summary>The next report that was not taken yet.</summary>
    public ValueTask<ReconnectedEventArgs> NextReportAsync() => _reports.Reader.ReadAsync();

    /// <summary>The next refusal that was not taken yet.</summary>
    public ValueTask<ReconnectRefusedEventArgs> NextRefusalAsync() => _refusals.Reader.ReadAsync();

    public ValueTask DisposeAsync() => Client.DisposeAsync();
}
