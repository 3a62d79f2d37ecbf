namespace UffdManager.Cli.Tests;

/// <summary>A request as it came.</summary>
internal sealed record FakeRequest(string Method, string Target, string Body)
{
    /// <summary>Method and path, without the query: what answers are written for.</summary>
    public string Resource => $"{Method} {Target.Split('?')[0]}";
}
