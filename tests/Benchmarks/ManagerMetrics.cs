using System.Globalization;

namespace UffdManager.Benchmarks;

/// <summary>What a manager counts, read from its /metrics.</summary>
internal sealed class ManagerMetrics(Handler manager) : IDisposable
{
    private readonly HttpClient _http = new() { BaseAddress = manager.Metrics ?? throw new BenchException("the manager serves no metrics") };

    /// <summary>The sum of the series of a metric that have a label of a value.</summary>
    public async Task<double> SumAsync(string metric, string label)
    {
        string text = await _http.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        return text.Split('\n')
            .Where(line => line.StartsWith(metric + "{", StringComparison.Ordinal) && line.Contains($"\"{label}\"", StringComparison.Ordinal))
            .Sum(line => double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));
    }

    /// <summary>Faults on missing pages, of all clients, so far.</summary>
    public Task<double> FaultsAsync() => SumAsync("uffd_manager_faults_total", "missing");

    public void Dispose() => _http.Dispose();
}
