using OpenTelemetry.Metrics;

namespace UffdManager.Daemon.Telemetry.Exposition;

/// <summary>
/// Turns the current values into one text. Scrapes are serialised: the OpenTelemetry reader would answer concurrent
/// collections with one shared result, in the format of whoever came first.
/// </summary>
public sealed class MetricsScraper : IDisposable
{
    private readonly PullExporter _exporter = new();
    private readonly SemaphoreSlim _oneAtATime = new(1, 1);
    private readonly Action? _beforeCollect;

    /// <summary>Makes a scraper.</summary>
    /// <param name="beforeCollect">Runs before each collection, under the lock; may be null.</param>
    public MetricsScraper(Action? beforeCollect = null)
    {
        _beforeCollect = beforeCollect;
        Reader = new BaseExportingMetricReader(_exporter) { TemporalityPreference = MetricReaderTemporalityPreference.Cumulative };
    }

    /// <summary>The reader to add to the meter provider, which then owns and disposes it.</summary>
    internal MetricReader Reader { get; }

    /// <summary>Collects and renders.</summary>
    /// <returns>A copy; the caller may keep it.</returns>
    /// <exception cref="InvalidOperationException">The reader has no meter provider yet, or the collection failed.</exception>
    public async Task<byte[]> ScrapeAsync(ExpositionFormat format, CancellationToken cancellationToken)
    {
        await _oneAtATime.WaitAsync(cancellationToken);
        try
        {
            _beforeCollect?.Invoke();
            _exporter.Writer.Begin(format);
            if (_exporter.Collect?.Invoke(-1) != true)
            {
                throw new InvalidOperationException("The metrics could not be collected.");
            }

            _exporter.Writer.End();
            return _exporter.Writer.Written.ToArray();
        }
        finally
        {
            _oneAtATime.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _oneAtATime.Dispose();
}
