using System.Net;
using System.Text.Json;

namespace UffdManager.EndToEnd.Tests.Model;

/// <summary>What the control API has answered.</summary>
/// <param name="Status">Of the response.</param>
/// <param name="Text">Its body, or the last line of it.</param>
public sealed record ModelAnswer(HttpStatusCode Status, string Text)
{
    /// <summary>Whether it was done.</summary>
    public bool IsSuccess => (int)Status < 300;

    /// <summary>The body.</summary>
    public JsonElement Json => JsonDocument.Parse(Text).RootElement;
}
