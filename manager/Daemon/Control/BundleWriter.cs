using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using UffdManager.Control;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Inspection;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Telemetry.Exposition;

namespace UffdManager.Daemon.Control;

/// <summary>
/// Writes a support archive. What cannot be had is left out and named in the manifest: an archive is asked for when something is broken.
/// </summary>
internal sealed class BundleWriter(Inspector inspector, ConfigurationInUse configuration, MetricsScraper metrics, LogRing log)
{
    private const int MaximumSessions = 100_000;
    private const int MaximumRegions = 100_000;
    private const int Page = 1000;

    private static ControlJson Json => ControlResponse.Json;

    /// <summary>Name of the archive's directory.</summary>
    public static string NameAt(DateTimeOffset at) => $"uffd-manager-bundle-{at.UtcDateTime:yyyyMMdd'T'HHmmss'Z'}";

    /// <summary>Writes the archive, compressed.</summary>
    /// <param name="into">Gets it; is not closed. Written to asynchronously only.</param>
    /// <param name="at">Time of the archive.</param>
    /// <param name="by">Who asked for it.</param>
    /// <param name="cancellationToken">Ends it half way.</param>
    public async Task WriteAsync(Stream into, DateTimeOffset at, string by, CancellationToken cancellationToken)
    {
        Dictionary<string, string> failures = new(StringComparer.Ordinal);
        List<BundleFileDto> files = [];
        await using GZipStream compressed = new(into, CompressionLevel.Fastest, leaveOpen: true);
        await using TarWriter tar = new(compressed, TarEntryFormat.Pax, leaveOpen: true);

        await AddAsync("status.json", async () => Bytes(await inspector.StatusAsync(cancellationToken), Json.StatusDto));
        await AddAsync("sessions.ndjson", () => SessionsAsync(cancellationToken));
        await AddAsync("regions.ndjson", () => RegionsAsync(cancellationToken));
        await AddAsync("tenants.json", () => Task.FromResult(Bytes(inspector.Tenants(), Json.TenantListDto)));
        await AddAsync("policies.json", () => Task.FromResult(Bytes(inspector.Policies(), Json.PolicyListDto)));
        await AddAsync("config.json", () => Task.FromResult(Bytes(ConfigurationView.Document(configuration.Now, withSources: true), Json.ConfigurationDto)));
        await AddAsync("latency.json", () => Task.FromResult(Bytes(inspector.LatencyHistory(tenant: null), Json.LatencyHistoryDto)));
        await AddAsync("metrics.txt", () => metrics.ScrapeAsync(ExpositionFormat.PrometheusText, cancellationToken));
        await AddAsync("log.txt", () => Task.FromResult(Encoding.UTF8.GetBytes(string.Join('\n', log.Lines()) + "\n")));
        await AddAsync("threads.txt", () => Task.FromResult(Encoding.UTF8.GetBytes(SystemFacts.Threads())));
        await AddAsync("process.txt", () => Task.FromResult(Encoding.UTF8.GetBytes(SystemFacts.Process())));
        await AddAsync("kernel.txt", () => Task.FromResult(Encoding.UTF8.GetBytes(SystemFacts.Kernel())));

        BundleManifestDto manifest = new()
        {
            Version = ProcessMetrics.Version,
            At = Words.Time(at),
            Host = Environment.MachineName,
            By = by,
            Files = files,
            Failures = failures,
        };
        await PutAsync("manifest.json", Bytes(manifest, Json.BundleManifestDto));

        async Task AddAsync(string name, Func<Task<byte[]>> read)
        {
            byte[] content;
            try
            {
                content = await read();
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                failures[name] = $"{e.GetType().Name}: {e.Message}";
                return;
            }

            await PutAsync(name, content);
            files.Add(new BundleFileDto { Name = name, Length = content.Length });
        }

        async Task PutAsync(string name, byte[] content)
        {
            PaxTarEntry entry = new(TarEntryType.RegularFile, $"{NameAt(at)}/{name}")
            {
                DataStream = new MemoryStream(content),
                ModificationTime = at,
                Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            };
            await tar.WriteEntryAsync(entry, cancellationToken);
        }
    }

    private static byte[] Bytes<T>(T document, JsonTypeInfo<T> type) => [.. JsonSerializer.SerializeToUtf8Bytes(document, type), (byte)'\n'];

    private async Task<byte[]> SessionsAsync(CancellationToken cancellationToken)
    {
        using MemoryStream lines = new();
        SessionListDto page;
        long after = 0;
        int count = 0;
        do
        {
            page = await inspector.SessionsAsync(new SessionFilter(), after, Page, cancellationToken);
            foreach (SessionDto session in page.Sessions)
                lines.Write(Bytes(session, Json.SessionDto));
            after = page.Next ?? 0;
            count += page.Sessions.Count;
        }
        while (page.Next is not null && count < MaximumSessions);
        return lines.ToArray();
    }

    private async Task<byte[]> RegionsAsync(CancellationToken cancellationToken)
    {
        using MemoryStream lines = new();
        RegionListDto page;
        RegionCursor after = default;
        int count = 0;
        do
        {
            page = await inspector.RegionsAsync(new SessionFilter(), after, Page, cancellationToken);
            foreach (RegionDto region in page.Regions)
                lines.Write(Bytes(region, Json.RegionDto));
            if (page.Next is { } next)
                _ = RegionCursor.TryParse(next, out after);
            count += page.Regions.Count;
        }
        while (page.Next is not null && count < MaximumRegions);
        return lines.ToArray();
    }
}
