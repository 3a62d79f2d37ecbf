using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using UffdManager.EndToEnd.Tests;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Speaks HTTP to a daemon's control socket, as root.</summary>
internal sealed class ControlClient : IDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(60);

    private readonly HttpClient _http;

    public ControlClient(DaemonProcess daemon)
        : this(Path.Combine(Path.GetDirectoryName(daemon.SocketPath)!, "control.sock"))
    {
    }

    public ControlClient(string socketPath)
    {
        SocketPath = socketPath;
        _http = new HttpClient(new SocketsHttpHandler { ConnectCallback = async (_, cancel) => new NetworkStream(await ConnectAsync(cancel), ownsSocket: true) })
        {
            BaseAddress = new Uri("http://localhost"),
            Timeout = s_deadline,
        };
    }

    public string SocketPath { get; }

    /// <summary>A bare connection.</summary>
    public async Task<Socket> ConnectAsync(CancellationToken cancellationToken = default)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(SocketPath), cancellationToken);
        return socket;
    }

    /// <summary>Asks, and expects a document with a status.</summary>
    public async Task<JsonElement> AskAsync(string request, HttpStatusCode status = HttpStatusCode.OK, string? body = null)
    {
        using HttpResponseMessage response = await SendAsync(request, body);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == status, $"{request}: {(int)response.StatusCode} {text}");
        Assert.Equal("1", response.Headers.GetValues("Uffd-Manager-Api").Single());
        Assert.Equal((int)status < 400 ? "application/json" : "application/problem+json", response.Content.Headers.ContentType?.MediaType);
        return JsonDocument.Parse(text).RootElement;
    }

    /// <summary>Asks again and again, as long as the answer is 200.</summary>
    public async Task AskUntilRefusedAsync(string request)
    {
        HttpStatusCode status;
        do
        {
            using HttpResponseMessage response = await SendAsync(request, body: null);
            status = response.StatusCode;
        }
        while (status == HttpStatusCode.OK);
    }

    /// <summary>Asks for a stream and reads it line by line as it comes.</summary>
    public async IAsyncEnumerable<JsonElement> StreamAsync(string request)
    {
        using HttpResponseMessage response = await SendAsync(request, body: null);
        Assert.Equal("application/x-ndjson", response.Content.Headers.ContentType?.MediaType);
        using StreamReader reader = new(await response.Content.ReadAsStreamAsync());
        while (await reader.ReadLineAsync().WaitAsync(s_deadline) is { } line)
            yield return JsonDocument.Parse(line).RootElement;
    }

    /// <summary>Sends "METHOD /path".</summary>
    public async Task<HttpResponseMessage> SendAsync(string request, string? body)
    {
        string[] parts = request.Split(' ');
        using HttpRequestMessage message = new(new HttpMethod(parts[0]), parts[1]);
        if (body is not null)
            message.Content = new StringContent(body, Encoding.UTF8, "application/json");
        return await _http.SendAsync(message, HttpCompletionOption.ResponseHeadersRead);
    }

    public void Dispose() => _http.Dispose();
}
