using System.Diagnostics.Metrics;
using Microsoft.Extensions.Hosting;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// Moves finished faults from the rings of the fault loops into the histogram, the percentiles and the traces, so that the loops pay
/// one store per fault and nothing more. The rings hold 65,536 faults each; at a quarter of a million faults a second and
/// loop one must be emptied every 260 ms, hence the periods.
/// </summary>
internal sealed class FaultSamplePump : BackgroundService, IServiceTimePercentiles
{
    private static readonly TimeSpan BusyPeriod = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan IdlePeriod = TimeSpan.FromMilliseconds(250);

    private readonly IEngineTelemetry _engine;
    private readonly TenantLabels _labels;
    private readonly SlowFaultTracer _slowFaults;
    private readonly TimeProvider _time;
    private readonly IFaultSampleSink[] _sinks;
    private readonly Histogram<double> _durations;
    private readonly TagSets _tags = new(Instruments.FaultDuration);

    // Guards the draining: rings have one reader, and both the timer and a scrape may want to be it.
    private readonly Lock _draining = new();
    private readonly FaultSample[] _batch = new FaultSample[4096];
    private readonly LatencyHistogram _all = new();
    private volatile Tenant[] _tenants = [];

    public FaultSamplePump(Meter meter, IEngineTelemetry engine, TenantLabels labels, SlowFaultTracer slowFaults, TimeProvider time, IEnumerable<IFaultSampleSink> sinks)
    {
        _engine = engine;
        _labels = labels;
        _slowFaults = slowFaults;
        _time = time;
        _sinks = [.. sinks];
        _durations = meter.CreateHistogram<double>(
            Instruments.FaultDuration.Name, Instruments.FaultDuration.Unit, Instruments.FaultDuration.Description);
    }

    /// <inheritdoc/>
    public ServiceTimes Read(string tenant)
    {
        foreach (var known in _tenants)
        {
            if (known.Name == tenant)
            {
                return known.Latency.Read();
            }
        }

        return default;
    }

    /// <inheritdoc/>
    public ServiceTimes ReadAll() => _all.Read();

    /// <summary>Empties the rings. A scrape calls it so that its histogram has every fault that its counters have.</summary>
    /// <returns>How many faults there were.</returns>
    public int Drain()
    {
        lock (_draining)
        {
            int total = 0;
            int count;
            do
            {
                count = _engine.DrainFaultSamples(_batch);
                foreach (ref readonly var sample in _batch.AsSpan(0, count))
                {
                    Account(in sample);
                }

                foreach (var sink in _sinks)
                {
                    sink.OnSamples(_batch.AsSpan(0, count));
                }

                total += count;
            }
            while (count == _batch.Length);

            return total;
        }
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(IdlePeriod, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                timer.Period = Drain() > 0 ? BusyPeriod : IdlePeriod;
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            Drain();
        }
    }

    private void Account(in FaultSample sample)
    {
        var tenant = TenantOf(sample.Tenant);
        _durations.Record(sample.DurationNanoseconds / 1e9, tenant.Tags[(int)sample.Kind]);
        tenant.Latency.Add(sample.DurationNanoseconds);
        _all.Add(sample.DurationNanoseconds);
        if (sample.DurationNanoseconds >= _slowFaults.ThresholdNanoseconds)
        {
            _slowFaults.Trace(in sample, tenant.Name);
        }
    }

    private Tenant TenantOf(int index)
    {
        var tenants = _tenants;
        if (index >= tenants.Length)
        {
            var grown = new Tenant[index + 1];
            tenants.CopyTo(grown, 0);
            for (int i = tenants.Length; i < grown.Length; i++)
            {
                string name = _engine.TenantName(i);
                var latency = grown.Take(i).FirstOrDefault(t => t.Name == name)?.Latency ?? new();
                grown[i] = new(name, _tags.For(_labels.Of(name)), latency);
            }

            _tenants = tenants = grown;
        }

        return tenants[index];
    }

    /// <summary>What belongs to a tenant index. A tenant that left the configuration and came back has two indexes and one name.</summary>
    private sealed record Tenant(string Name, KeyValuePair<string, object?>[][] Tags, LatencyHistogram Latency);
}
