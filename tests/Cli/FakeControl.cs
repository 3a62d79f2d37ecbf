using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using UffdManager.Control;
using UffdManager.TestSupport;

namespace UffdManager.Cli.Tests;

/// <summary>A manager's control socket that says what the test wants, byte by byte if need be.</summary>
internal sealed class FakeControl : IDisposable
{
    private const string Problem = "application/problem+json";

    private readonly TempDirectory _directory = new();
    private readonly CancellationTokenSource _end = new();
    private readonly ConcurrentDictionary<string, Func<FakeRequest, NetworkStream, Task>> _answers = new();
    private readonly ConcurrentBag<Socket> _connections = [];
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly Task _accepting;

    public FakeControl()
    {
        SocketPath = _directory.Combine("control.sock");
        _listener.Bind(new UnixDomainSocketEndPoint(SocketPath));
        _listener.Listen();
        _accepting = AcceptAsync();
    }

    public string SocketPath { get; }

    /// <summary>A directory of the test's own.</summary>
    public TempDirectory Directory => _directory;

    /// <summary>Everything that was asked, in order.</summary>
    public ConcurrentQueue<FakeRequest> Requests { get; } = new();

    /// <summary>The header with which a manager tells its version; null for none.</summary>
    public string? ApiVersion { get; set; } = "1";

    public FakeControl Answer<T>(string resource, T document, JsonTypeInfo<T> type, int status = 200) =>
        AnswerText(resource, JsonSerializer.Serialize(document, type), status);

    public FakeControl AnswerText(string resource, string text, int status = 200, string type = "application/json") =>
        Handle(resource, (_, stream) => WriteAsync(stream, Head(status, type, Encoding.UTF8.GetByteCount(text)) + text));

    /// <summary>Answers that differ from call to call.</summary>
    public FakeControl AnswerBy(string resource, Func<FakeRequest, string> answer) => Handle(resource, (request, stream) =>
    {
        string text = answer(request);
        return WriteAsync(stream, Head(200, "application/json", Encoding.UTF8.GetByteCount(text)) + text);
    });

    public FakeControl AnswerProblem(string resource, int status, string name, string detail, string? remedy = null) => AnswerText(
        resource,
        JsonSerializer.Serialize(
            new ProblemDto { Type = $"urn:uffd-manager:problem:{name}", Title = name, Status = status, Detail = detail, Remedy = remedy },
            ControlJson.Default.ProblemDto),
        status, Problem);

    /// <summary>Answers with a stream; the test writes its lines and ends it.</summary>
    public FakeStream AnswerStream(string resource)
    {
        FakeStream lines = new();
        Handle(resource, async (_, stream) =>
        {
            await WriteAsync(stream, Head(200, "application/x-ndjson", null));
            await lines.WriteToAsync(stream, _end.Token);
        });
        return lines;
    }

    /// <summary>Answers with the bytes alone, and then closes.</summary>
    public FakeControl AnswerBytes(string resource, string bytes) => Handle(resource, async (_, stream) =>
    {
        await WriteAsync(stream, bytes);
        stream.Close();
    });

    public FakeControl AnswerBytes(string resource, string head, byte[] body) => Handle(resource, async (_, stream) =>
    {
        await WriteAsync(stream, head);
        await stream.WriteAsync(body);
    });

    /// <summary>Writes this and then nothing more, without closing.</summary>
    public FakeControl Hang(string resource, string bytes = "") => Handle(resource, async (_, stream) =>
    {
        await WriteAsync(stream, bytes);
        await Task.Delay(Timeout.Infinite, _end.Token); // lint: allowed, a server that hangs is what is played
    });

    public FakeControl Handle(string resource, Func<FakeRequest, NetworkStream, Task> answer)
    {
        _answers[resource] = answer;
        return this;
    }

    /// <summary>The head of an answer; chunked without a length.</summary>
    public string Head(int status, string type, long? length, string more = "")
    {
        string version = ApiVersion is null ? "" : $"Uffd-Manager-Api: {ApiVersion}\r\n";
        string body = length is { } bytes ? $"Content-Length: {bytes}\r\n" : "Transfer-Encoding: chunked\r\n";
        return $"HTTP/1.1 {status} Whatever\r\nContent-Type: {type}\r\n{version}{body}{more}\r\n";
    }

    /// <summary>Stops answering: new connections are refused and the open ones closed.</summary>
    public void Stop()
    {
        _end.Cancel();
        _listener.Dispose();
        while (_connections.TryTake(out Socket? connection))
            connection.Dispose();
    }

    public void Dispose()
    {
        Stop();
        _accepting.Wait(Uffdctl.Deadline);
        _end.Dispose();
        _directory.Dispose();
    }

    private static Task WriteAsync(NetworkStream stream, string text) => stream.WriteAsync(Encoding.UTF8.GetBytes(text)).AsTask();

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket connection = await _listener.AcceptAsync(_end.Token);
                _connections.Add(connection);
                _ = ServeAsync(connection);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Stopped.
        }
    }

    private async Task ServeAsync(Socket connection)
    {
        try
        {
            await using NetworkStream stream = new(connection, ownsSocket: true);
            while (await ReadAsync(stream) is { } request)
            {
                Requests.Enqueue(request);
                Func<FakeRequest, NetworkStream, Task> answer = _answers.GetValueOrDefault(request.Resource) ?? _answers.GetValueOrDefault("*") ?? NotFoundAsync;
                await answer(request, stream);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or ObjectDisposedException or SocketException)
        {
            // The client has gone, or the test is over.
        }
    }

    private Task NotFoundAsync(FakeRequest request, NetworkStream stream)
    {
        string text = $$"""{"type":"urn:uffd-manager:problem:not_found","title":"Not found","status":404,"detail":"There is no {{request.Target}}.","remedy":null,"instance":null}""";
        return WriteAsync(stream, Head(404, Problem, Encoding.UTF8.GetByteCount(text)) + text);
    }

    private static async Task<FakeRequest?> ReadAsync(NetworkStream stream)
    {
        StringBuilder head = new();
        byte[] one = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            if (await stream.ReadAsync(one) == 0)
                return null;
            head.Append((char)one[0]);
        }

        string[] lines = head.ToString().Split("\r\n");
        string[] first = lines[0].Split(' ');
        string? length = lines.FirstOrDefault(line => line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase))?.Split(':')[1];
        byte[] body = new byte[length is null ? 0 : int.Parse(length, CultureInfo.InvariantCulture)];
        await stream.ReadExactlyAsync(body);
        return new FakeRequest(first[0], first[1], Encoding.UTF8.GetString(body));
    }
}
