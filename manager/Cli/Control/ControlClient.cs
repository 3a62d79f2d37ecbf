using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using UffdManager.Control;

namespace UffdManager.Cli.Control;

/// <summary>
/// The control API, seen from its client: requests over the Unix socket, and every way in which one can fail as a
/// <see cref="CommandException"/> that says what the operator can do.
/// </summary>
/// <param name="socketPath">The control socket.</param>
/// <param name="timeout">For the connection and a whole answer; of a stream, for its beginning.</param>
internal sealed class ControlClient(string socketPath, TimeSpan timeout) : IDisposable
{
    private const string ApiHeader = "Uffd-Manager-Api";
    private const string ApiVersion = "1";

    private readonly HttpClient _http = new(Handler(socketPath)) { Timeout = Timeout.InfiniteTimeSpan, BaseAddress = new Uri("http://localhost/") };

    /// <summary>GET of a document.</summary>
    public async Task<Answer<T>> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancel)
        where T : class =>
        await ReadAsync(await ExchangeAsync(HttpMethod.Get, path, null, cancel), type);

    /// <summary>Any request that answers with a document.</summary>
    public async Task<Answer<T>> SendAsync<T>(HttpMethod method, string path, HttpContent? body, JsonTypeInfo<T> type, CancellationToken cancel)
        where T : class =>
        await ReadAsync(await ExchangeAsync(method, path, body, cancel), type);

    /// <summary>Any request whose answer has nothing to say but that it was done.</summary>
    public async Task SendAsync(HttpMethod method, string path, CancellationToken cancel) =>
        await ExchangeAsync(method, path, null, cancel);

    /// <summary>Any request that answers with a stream of documents, one a line.</summary>
    /// <param name="method">GET or POST.</param>
    /// <param name="path">Path and query.</param>
    /// <param name="silence">How long the stream may be silent before the manager counts as hanging.</param>
    /// <param name="type">Of each line.</param>
    /// <param name="cancel">Ends the stream.</param>
    /// <param name="content">What to send; stays the caller's.</param>
    public async IAsyncEnumerable<Answer<T>> StreamAsync<T>(
        HttpMethod method, string path, TimeSpan silence, JsonTypeInfo<T> type,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancel, HttpContent? content = null)
        where T : class
    {
        using Deadline deadline = new(cancel);
        using HttpResponseMessage response = await GuardAsync(deadline, timeout, token => OpenAsync(method, path, content, token));
        await using Stream body = await GuardAsync(deadline, timeout, token => response.Content.ReadAsStreamAsync(token));
        LineReader lines = new(body);
        while (await GuardAsync(deadline, silence, token => lines.ReadAsync(token)) is { } line)
            yield return Parse(line, type);
    }

    /// <summary>GET of a file, written to a stream as it comes.</summary>
    /// <param name="path">Path and query.</param>
    /// <param name="silence">How long the answer may pause.</param>
    /// <param name="open">Given the name that the manager proposes, opens what is written to; not called when the request fails.</param>
    /// <param name="cancel">Ends it.</param>
    /// <returns>Bytes written.</returns>
    public async Task<long> DownloadAsync(string path, TimeSpan silence, Func<string?, Stream> open, CancellationToken cancel)
    {
        using Deadline deadline = new(cancel);
        using HttpResponseMessage response = await GuardAsync(deadline, silence, token => OpenAsync(HttpMethod.Get, path, null, token));
        await using Stream body = await GuardAsync(deadline, silence, token => response.Content.ReadAsStreamAsync(token));
        Stream target = open(response.Content.Headers.ContentDisposition?.FileName?.Trim('"'));
        byte[] buffer = new byte[65536];
        long total = 0;
        while (await GuardAsync(deadline, silence, async token => await body.ReadAsync(buffer, token)) is > 0 and var count)
        {
            // Not guarded: what goes wrong here is the file's doing, not the manager's.
            await target.WriteAsync(buffer.AsMemory(0, count), cancel);
            total += count;
        }

        return total;
    }

    public void Dispose() => _http.Dispose();

    private static SocketsHttpHandler Handler(string socketPath) => new()
    {
        // Nothing between us and the socket: no proxy of the environment, no cookie, no redirection.
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        ActivityHeadersPropagator = null,
        ConnectCallback = async (_, cancel) =>
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(ControlFailure.EndPoint(socketPath), cancel);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        },
    };

    private static Answer<T> Parse<T>(ReadOnlyMemory<byte> document, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return new Answer<T>(JsonSerializer.Deserialize(document.Span, type) ?? throw new JsonException("the document is null"), document);
        }
        catch (JsonException e)
        {
            throw ControlFailure.NotUnderstood($"a document does not read as {type.Type.Name}: {e.Message}");
        }
    }

    private static async Task<Answer<T>> ReadAsync<T>(HttpResponseMessage response, JsonTypeInfo<T> type)
        where T : class
    {
        using (response)
            return Parse(await response.Content.ReadAsByteArrayAsync(), type);
    }

    // The whole answer within the timeout; the caller owns it, and its content is in memory.
    private async Task<HttpResponseMessage> ExchangeAsync(HttpMethod method, string path, HttpContent? body, CancellationToken cancel)
    {
        using Deadline deadline = new(cancel);
        return await GuardAsync(deadline, timeout, async token =>
        {
            HttpResponseMessage response = await OpenAsync(method, path, body, token);
            await response.Content.LoadIntoBufferAsync(token);
            return response;
        });
    }

    // The caller owns the answer, whose status says success.
    private async Task<HttpResponseMessage> OpenAsync(HttpMethod method, string path, HttpContent? body, CancellationToken cancel)
    {
        // A request without any content is repeated behind our back when the connection ends before an answer. Who was asked may have done it all the same, and a successor would do it again.
        using HttpRequestMessage request = new(method, path) { Content = body ?? (method == HttpMethod.Get ? null : new ByteArrayContent([])) };
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("*/*"));
        HttpResponseMessage response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel);
        try
        {
            string? version = response.Headers.TryGetValues(ApiHeader, out IEnumerable<string>? values) ? string.Join(", ", values) : null;
            if (version != ApiVersion)
                throw ControlFailure.OtherVersion(socketPath, version, ApiVersion);
            if (!response.IsSuccessStatusCode)
                throw await ProblemAsync(response, cancel);
            return response;
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    private static async Task<CommandException> ProblemAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        byte[] body = await response.Content.ReadAsByteArrayAsync(cancel);
        try
        {
            ProblemDto problem = JsonSerializer.Deserialize(body, Documents.Types.ProblemDto) ?? throw new JsonException("the document is null");
            return ControlFailure.Of(problem);
        }
        catch (JsonException)
        {
            return ControlFailure.NotUnderstood($"it answers {(int)response.StatusCode} without saying why");
        }
    }

    // Turns what the transport throws into what the operator reads.
    private async Task<T> GuardAsync<T>(Deadline deadline, TimeSpan limit, Func<CancellationToken, Task<T>> work)
    {
        try
        {
            return await work(deadline.Arm(limit));
        }
        catch (OperationCanceledException) when (deadline.IsOver)
        {
            throw ControlFailure.NoAnswer(socketPath, limit);
        }
        catch (HttpRequestException e)
        {
            throw ControlFailure.Of(e, socketPath);
        }
        catch (IOException e)
        {
            throw ControlFailure.Of(e, socketPath);
        }
    }
}
