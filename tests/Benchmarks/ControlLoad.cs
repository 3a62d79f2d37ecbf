using System.Net.Sockets;
using UffdManager.Protocol;

namespace UffdManager.Benchmarks;

/// <summary>
/// Keeps the manager's control side busy until disposed: one task scrapes /metrics, one opens a connection, asks for STATUS and closes
/// it, both every 10 ms, a hundred times the rate of a busy monitoring system.
/// </summary>
internal sealed class ControlLoad : IAsyncDisposable
{
    private static readonly TimeSpan s_period = TimeSpan.FromMilliseconds(10);
    private readonly CancellationTokenSource _stop = new();
    private readonly HttpClient _http = new();
    private readonly Task _scrapes;
    private readonly Task _questions;
    private int _scraped;
    private int _asked;

    public ControlLoad(Uri metrics, string socket)
    {
        Uri url = new(metrics, "/metrics");
        _scrapes = RepeatAsync(async () =>
        {
            string text = await _http.GetStringAsync(url, _stop.Token);
            if (!text.Contains("uffd_manager_", StringComparison.Ordinal))
                throw new BenchException($"{url} shows no metrics of the manager");
            Interlocked.Increment(ref _scraped);
        });
        _questions = RepeatAsync(async () =>
        {
            await AskAsync(socket);
            Interlocked.Increment(ref _asked);
        });
    }

    /// <exception cref="BenchException">The control side was not busy after all: a request failed, or none was made.</exception>
    public void Check()
    {
        foreach (Task task in (Task[])[_scrapes, _questions])
        {
            if (task.IsFaulted)
                throw new BenchException($"the control side failed: {task.Exception.InnerException?.Message}", task.Exception);
        }

        if (_scraped == 0 || _asked == 0)
            throw new BenchException($"{_scraped} scrapes and {_asked} status questions during the measurement");
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_scrapes, _questions).ContinueWith(_ => { }, TaskScheduler.Default);
        _http.Dispose();
        _stop.Dispose();
    }

    private async Task RepeatAsync(Func<Task> action)
    {
        await Task.Yield();
        using var timer = new PeriodicTimer(s_period);
        try
        {
            do
                await action();
            while (await timer.WaitForNextTickAsync(_stop.Token));
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Disposed: the measurement is over.
        }
    }

    private async Task AskAsync(string path)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Seqpacket, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), _stop.Token);
        _ = await CallAsync<WelcomeMessage>(socket, new HelloMessage(1, 1, HelloFlags.NoSession, 0, 0, "bench-control", ""), 1);
        _ = await CallAsync<StatusReplyMessage>(socket, new StatusMessage(), 2);
    }

    private async Task<T> CallAsync<T>(Socket socket, Message request, uint id)
        where T : Message
    {
        byte[] buffer = new byte[ProtocolLimits.MaxMessage];
        int length = MessageCodec.Encode(request, id, HeaderFlags.None, buffer);
        await socket.SendAsync(buffer.AsMemory(0, length), _stop.Token);
        int got = await socket.ReceiveAsync(buffer, _stop.Token);
        DecodeError error = MessageCodec.Decode(buffer.AsSpan(0, got), 0, out _, out Message? answer);
        return answer as T ?? throw new BenchException($"{request.Type} was answered with {answer?.ToString() ?? error.ToString()}");
    }
}
