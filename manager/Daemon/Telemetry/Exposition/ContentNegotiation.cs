using System.Globalization;
using Microsoft.Net.Http.Headers;

namespace UffdManager.Daemon.Telemetry.Exposition;

/// <summary>
/// Chooses the exposition format from an Accept header (RFC 9110, section 12.5.1). OpenMetrics is served only to those who name
/// it; everybody else, browsers and <c>curl</c> included, gets the Prometheus text format, which is also the answer to
/// a header that admits neither: a scraper with an odd header is better served by text than by 406.
/// </summary>
public static class ContentNegotiation
{
    /// <summary>Content-Type of the Prometheus text format.</summary>
    public const string PrometheusTextType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>Content-Type of OpenMetrics 1.0.0.</summary>
    public const string OpenMetricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// <summary>The Content-Type that goes with a format.</summary>
    public static string ContentType(ExpositionFormat format) =>
        format == ExpositionFormat.OpenMetrics ? OpenMetricsType : PrometheusTextType;

    /// <summary>Picks the format that the client likes best.</summary>
    /// <param name="acceptHeaders">Values of all Accept header lines; malformed elements are ignored.</param>
    public static ExpositionFormat Choose(IList<string> acceptHeaders)
    {
        if (!MediaTypeHeaderValue.TryParseList(acceptHeaders, out var ranges))
        {
            return ExpositionFormat.PrometheusText;
        }

        double openMetrics = 0;
        (int Specificity, double Quality) text = (-1, 0);
        foreach (var range in ranges)
        {
            double quality = range.Quality ?? 1;
            if (IsOpenMetrics(range))
            {
                openMetrics = Math.Max(openMetrics, quality);
            }
            else if (TextSpecificity(range) is var specificity and >= 0 && specificity >= text.Specificity)
            {
                text = (specificity, quality);
            }
        }

        return openMetrics > 0 && openMetrics >= text.Quality ? ExpositionFormat.OpenMetrics : ExpositionFormat.PrometheusText;
    }

    private static bool IsOpenMetrics(MediaTypeHeaderValue range) =>
        range.MediaType.Equals("application/openmetrics-text", StringComparison.OrdinalIgnoreCase)
        && Version(range) is null or "1.0.0";

    /// <summary>How narrowly a range names the text format; -1 when it does not match. The narrowest range decides the quality.</summary>
    private static int TextSpecificity(MediaTypeHeaderValue range) => (range.MediaType.Value?.ToLowerInvariant(), Version(range)) switch
    {
        ("text/plain", "0.0.4") => 3,
        ("text/plain", null) => 2,
        ("text/*", _) => 1,
        ("*/*", _) => 0,
        _ => -1,
    };

    private static string? Version(MediaTypeHeaderValue range)
    {
        foreach (var parameter in range.Parameters)
        {
            if (parameter.Name.Equals("version", StringComparison.OrdinalIgnoreCase))
            {
                return parameter.GetUnescapedValue().ToString().ToLower(CultureInfo.InvariantCulture);
            }
        }

        return null;
    }
}
