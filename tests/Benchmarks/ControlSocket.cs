using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace UffdManager.Benchmarks;

/// <summary>Asks a manager as operators do.</summary>
internal sealed class ControlSocket : IDisposable
{
    private readonly HttpClient _http;

    public ControlSocket(Handler handler)
    {
        string path = Path.Combine(Path.GetDirectoryName(handler.Socket)!, "control.sock");
        SocketsHttpHandler connections = new()
        {
            ConnectCallback = async (_, cancel) =>
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel);
                return new NetworkStream(socket, ownsSocket: true);
            },
        };
        _http = new HttpClient(connections) { BaseAddress = new Uri("http://localhost/"), Timeout = TimeSpan.FromMinutes(5) };
    }

    /// <summary>The session of a process.</summary>
    public async Task<long> FindSessionAsync(int pid)
    {
        using JsonDocument list = JsonDocument.Parse(await _http.GetStringAsync("v1/sessions"));
        foreach (JsonElement session in list.RootElement.GetProperty("sessions").EnumerateArray())
        {
            if (session.GetProperty("pid").GetInt32() == pid)
                return session.GetProperty("id").GetInt64();
        }

        throw new BenchException($"the manager has no session of process {pid}");
    }

    /// <summary>Takes a snapshot, and returns when the image is there.</summary>
    /// <returns>The last line of progress.</returns>
    public async Task<JsonElement> SnapshotAsync(long session, string file)
    {
        using StringContent body = new(JsonSerializer.Serialize(new { @out = file }), Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await _http.PostAsync(new Uri($"v1/sessions/{session}/snapshot", UriKind.Relative), body);
        string last = (await response.Content.ReadAsStringAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1];
        JsonElement progress = JsonDocument.Parse(last).RootElement;
        return response.IsSuccessStatusCode && progress.GetProperty("result").GetString() == "written"
            ? progress
            : throw new BenchException($"no snapshot was taken: {last}");
    }

    public void Dispose() => _http.Dispose();
}
