using Microsoft.AspNetCore.Http;

namespace UffdManager.Daemon.Telemetry;

/// <summary>More that the endpoint for metrics and health answers.</summary>
internal interface IEndpointPages
{
    /// <summary>Who answers GET and HEAD of a path; null when it is not of these pages.</summary>
    Func<HttpContext, Task>? Find(string path);
}
