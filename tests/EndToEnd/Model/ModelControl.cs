using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace UffdManager.EndToEnd.Tests.Model;

/// <summary>The control socket of a manager that may die at any moment.</summary>
public sealed class ModelControl : IDisposable
{
    private const int Remembered = 60;

    private readonly HttpClient _http;
    private readonly Queue<string> _journal = [];

    /// <param name="socket">Path of the control socket.</param>
    public ModelControl(string socket)
    {
        SocketsHttpHandler handler = new()
        {
            PooledConnectionLifetime = TimeSpan.Zero,
            ConnectCallback = async (_, cancel) =>
            {
                Socket connection = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await connection.ConnectAsync(new UnixDomainSocketEndPoint(socket), cancel);
                    return new NetworkStream(connection, ownsSocket: true);
                }
                catch
                {
                    connection.Dispose();
                    throw;
                }
            },
        };
        _http = new HttpClient(handler) { BaseAddress = new Uri("http://localhost/"), Timeout = TimeSpan.FromSeconds(100) };
    }

    /// <summary>Asks once.</summary>
    /// <returns>Null when the manager was lost before it had answered.</returns>
    public async Task<ModelAnswer?> AskAsync(HttpMethod method, string path, string? body = null)
    {
        long began = Stopwatch.GetTimestamp();
        return Noted(method, path, began, await AnswerAsync(method, path, body));
    }

    /// <summary>Asks, and reads an answer of many lines.</summary>
    /// <param name="path">What is posted to.</param>
    /// <param name="body">JSON.</param>
    /// <param name="onLine">Called for each line while there may be more.</param>
    /// <returns>The last line, or the problem; null when the manager was lost before its last line.</returns>
    public async Task<ModelAnswer?> StreamAsync(string path, string body, Func<JsonElement, Task> onLine)
    {
        long began = Stopwatch.GetTimestamp();
        return Noted(HttpMethod.Post, path, began, await LastLineAsync(path, body, onLine));
    }

    /// <summary>The last requests and what was answered, with the time by the clock of the clients' reports.</summary>
    public override string ToString()
    {
        lock (_journal)
            return string.Join('\n', _journal);
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private ModelAnswer? Noted(HttpMethod method, string path, long began, ModelAnswer? answer)
    {
        string said = answer is null ? "no answer" : $"{(int)answer.Status}, {answer.Text.Length} bytes: {(answer.Text.Length > 200 ? answer.Text[..200] : answer.Text)}";
        lock (_journal)
        {
            _journal.Enqueue($"at={began}..{Stopwatch.GetTimestamp()} {method} {path}: {said}");
            if (_journal.Count > Remembered)
                _journal.Dequeue();
        }

        return answer;
    }

    private async Task<ModelAnswer?> AnswerAsync(HttpMethod method, string path, string? body)
    {
        try
        {
            using HttpRequestMessage request = Request(method, path, body);
            using HttpResponseMessage response = await _http.SendAsync(request);
            return new ModelAnswer(response.StatusCode, await response.Content.ReadAsStringAsync());
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return null;
        }
    }

    private async Task<ModelAnswer?> LastLineAsync(string path, string body, Func<JsonElement, Task> onLine)
    {
        try
        {
            using HttpRequestMessage request = Request(HttpMethod.Post, path, body);
            using HttpResponseMessage response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
            if (!response.IsSuccessStatusCode)
                return new ModelAnswer(response.StatusCode, await response.Content.ReadAsStringAsync());
            using StreamReader reader = new(await response.Content.ReadAsStreamAsync());
            while (await reader.ReadLineAsync() is { } line)
            {
                JsonElement progress = JsonDocument.Parse(line).RootElement;
                await onLine(progress);
                if (progress.GetProperty("done").GetBoolean())
                    return new ModelAnswer(response.StatusCode, line);
            }

            return null;
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return null;
        }
    }

    // Without any content it would be repeated behind our back when a manager ends before it has answered: it may have done what it was asked for.
    private static HttpRequestMessage Request(HttpMethod method, string path, string? body) =>
        new(method, path) { Content = new StringContent(body ?? "", Encoding.UTF8, "application/json") };
}
