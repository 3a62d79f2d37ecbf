using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using UffdManager.Control;

namespace UffdManager.Daemon.Control;

/// <summary>Writes answers. Documents are made before the first byte leaves, so that a failure can still become a problem.</summary>
internal static class ControlResponse
{
    /// <summary>Paths, labels and the like stay readable in a terminal; nothing here ends up in HTML.</summary>
    public static ControlJson Json { get; } = new(new JsonSerializerOptions(ControlJson.Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    private static readonly byte[] s_newLine = "\n"u8.ToArray();

    public static Task JsonAsync<T>(HttpContext http, T document, JsonTypeInfo<T> type, int status = StatusCodes.Status200OK, string contentType = "application/json")
    {
        byte[] body = [.. JsonSerializer.SerializeToUtf8Bytes(document, type), (byte)'\n'];
        http.Response.StatusCode = status;
        http.Response.ContentType = contentType;
        http.Response.ContentLength = body.Length;
        return http.Response.Body.WriteAsync(body, http.RequestAborted).AsTask();
    }

    public static Task ProblemAsync(HttpContext http, ProblemException problem)
    {
        if (problem.Allow is { } allow)
            http.Response.Headers.Allow = allow;
        if (problem.Kind == ProblemKind.Busy)
            http.Response.Headers.RetryAfter = "1";
        ProblemDto document = new()
        {
            Type = ProblemKind.Urn + problem.Kind.Name,
            Title = problem.Kind.Title,
            Status = problem.Kind.Status,
            Detail = problem.Message,
            Remedy = problem.Remedy,
            Instance = http.Request.Path.Value,
            Errors = problem.Errors,
        };
        return JsonAsync(http, document, Json.ProblemDto, problem.Kind.Status, "application/problem+json");
    }

    public static void BeginStream(HttpContext http) => http.Response.ContentType = "application/x-ndjson";

    /// <summary>One line of a stream, sent at once.</summary>
    public static async Task LineAsync<T>(HttpContext http, T document, JsonTypeInfo<T> type, CancellationToken cancellationToken)
    {
        await http.Response.Body.WriteAsync((byte[])[.. JsonSerializer.SerializeToUtf8Bytes(document, type), .. s_newLine], cancellationToken);
        await http.Response.Body.FlushAsync(cancellationToken);
    }
}
