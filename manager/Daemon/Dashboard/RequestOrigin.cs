using System.Net;
using Microsoft.AspNetCore.Http;

namespace UffdManager.Daemon.Dashboard;

/// <summary>
/// Whether a browser may have the data on behalf of the page that asks for it. The endpoint has no authentication, so what keeps another site's page in the
/// operator's browser from reading it is the same-origin policy, and a name that is made to point here (DNS rebinding) would get around that. A request
/// that names us by address, or as localhost, cannot come by such a name.
/// </summary>
internal static class RequestOrigin
{
    /// <summary>Why the request is refused; null when it is not.</summary>
    public static string? Refusal(HttpRequest request)
    {
        if (!IsOurs(request.Host.Host))
            return "open the page by an IP address or as localhost: other names could be pointed here by anybody\n";

        // Browsers send it; a stream that another site opens could not be read by it, but would take a place.
        string site = request.Headers["Sec-Fetch-Site"].ToString();
        return site is "" or "same-origin" or "none" ? null : "the data is for the page of this daemon alone\n";
    }

    private static bool IsOurs(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase)
        || IPAddress.TryParse(host, out _);
}
