using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.Control;

/// <summary>One request on its way through a handler: who asks, the values in the path, the parameters. Reading a parameter marks it as known.</summary>
internal sealed class ControlRequest(HttpContext http, ControlPeer peer, AccessRight right, IReadOnlyList<string> values)
{
    private readonly HashSet<string> _known = new(StringComparer.Ordinal);

    public HttpContext Http { get; } = http;

    public ControlPeer Peer { get; } = peer;

    public AccessRight Right { get; } = right;

    /// <summary>Set when the client has hung up.</summary>
    public CancellationToken Aborted => Http.RequestAborted;

    /// <summary>The n-th value in the path.</summary>
    public string Value(int index) => values[index];

    /// <summary>The n-th value in the path as the id of a session; one that is none is not found.</summary>
    public long SessionId(int index) => long.TryParse(values[index], NumberStyles.None, CultureInfo.InvariantCulture, out long id)
        ? id
        : throw new ProblemException(ProblemKind.NotFound, $"\"{values[index]}\" is no session id", "GET /v1/sessions lists them");

    /// <summary>A parameter's text; null if it is not given.</summary>
    public string? Text(string name)
    {
        _known.Add(name);
        return Http.Request.Query.TryGetValue(name, out StringValues given) ? given.Count == 1 ? given[0] : throw Bad(name, "it is given more than once") : null;
    }

    public long Integer(string name, long otherwise, long min, long max)
    {
        if (Text(name) is not { } text)
            return otherwise;
        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number >= min && number <= max
            ? number
            : throw Bad(name, string.Create(CultureInfo.InvariantCulture, $"allowed is a whole number from {min} to {max}"));
    }

    public TimeSpan Duration(string name, TimeSpan otherwise, TimeSpan min, TimeSpan max)
    {
        if (Text(name) is not { } text)
            return otherwise;
        return SettingText.ParseDuration(text) is { } time && time >= min && time <= max
            ? time
            : throw Bad(name, $"allowed is a time from {SettingText.FormatDuration(min)} to {SettingText.FormatDuration(max)}, with us, ms, s, m, h");
    }

    public bool Boolean(string name) => Text(name) switch
    {
        null or "false" => false,
        "true" => true,
        _ => throw Bad(name, "allowed is true or false"),
    };

    public string? Choice(string name, IReadOnlyList<string> words) =>
        Text(name) is not { } text ? null : words.Contains(text, StringComparer.Ordinal) ? text : throw Bad(name, $"allowed is {string.Join(", ", words)}");

    /// <summary>To be called when all parameters have been read: one that nobody asked for is a mistake.</summary>
    public void RefuseOthers()
    {
        foreach (string name in Http.Request.Query.Keys.Where(name => !_known.Contains(name)))
        {
            string known = _known.Count == 0 ? "there are none here" : $"there are {string.Join(", ", _known.Order(StringComparer.Ordinal))}";
            throw new ProblemException(ProblemKind.BadRequest, $"there is no parameter \"{name}\"", known);
        }
    }

    /// <summary>The body as a document.</summary>
    public async Task<T> BodyAsync<T>(JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return await JsonSerializer.DeserializeAsync(Http.Request.Body, type, Aborted)
                ?? throw new ProblemException(ProblemKind.BadRequest, "the body is null", "send a JSON object");
        }
        catch (JsonException e)
        {
            throw new ProblemException(ProblemKind.BadRequest, $"the body is not the JSON that is wanted: {e.Message}", "docs/CONTROL-API.md has the fields");
        }
    }

    private ProblemException Bad(string name, string why) => new(ProblemKind.BadRequest, $"parameter {name}: \"{Http.Request.Query[name]}\" is not allowed", why);
}
