using System.Text.Json;

namespace UffdManager.Daemon.Tests.Dashboard;

/// <summary>A page that is open: reads the stream event by event.</summary>
internal sealed class EventReader : IDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(30);
    private readonly StreamReader _reader;

    private EventReader(HttpResponseMessage response, StreamReader reader)
    {
        Response = response;
        _reader = reader;
    }

    public HttpResponseMessage Response { get; }

    public static async Task<EventReader> OpenAsync(HttpClient http)
    {
        HttpResponseMessage response = await http.GetAsync("/live", HttpCompletionOption.ResponseHeadersRead);
        return new EventReader(response, new StreamReader(await response.Content.ReadAsStreamAsync()));
    }

    /// <summary>The next event: its name and the data as it came; null at the end.</summary>
    public async Task<(string Name, string Data)?> NextAsync()
    {
        using CancellationTokenSource deadline = new(s_deadline);
        string? name = await _reader.ReadLineAsync(deadline.Token);
        if (name is null)
            return null;
        string data = await _reader.ReadLineAsync(deadline.Token) ?? throw new EndOfStreamException();
        if (await _reader.ReadLineAsync(deadline.Token) != "" || !name.StartsWith("event: ", StringComparison.Ordinal) || !data.StartsWith("data: ", StringComparison.Ordinal))
            throw new FormatException($"{name}\n{data}");
        return (name["event: ".Length..], data["data: ".Length..]);
    }

    /// <summary>Goes on to the next event of a name.</summary>
    /// <param name="name">Of the event.</param>
    /// <param name="cause">Brings it about, once the stream is open.</param>
    public async Task<JsonElement> NextAsync(string name, Action? cause = null)
    {
        cause?.Invoke();
        while (await NextAsync() is var (found, data))
        {
            if (found == name)
                return JsonDocument.Parse(data).RootElement;
        }

        throw new EndOfStreamException($"the stream ended without {name}");
    }

    public void Dispose()
    {
        _reader.Dispose();
        Response.Dispose();
    }
}
