using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Reflection;
using System.Runtime.InteropServices;

namespace UffdManager.Daemon.Telemetry;

/// <summary>The instruments about the process and its configuration.</summary>
internal sealed class ProcessMetrics : IConfigurationTelemetry
{
    private static readonly KeyValuePair<string, object?>[] ReloadOk = [new("outcome", "ok")];
    private static readonly KeyValuePair<string, object?>[] ReloadRefused = [new("outcome", "refused")];

    private readonly Counter<long> _reloads;
    private readonly TimeProvider _time;
    private volatile bool _lastReloadSucceeded = true;
    private double _lastReloadAt;

    public ProcessMetrics(Meter meter, TimeProvider time)
    {
        _time = time;
        double startedAt = _lastReloadAt = Now();

        _reloads = meter.CreateCounter<long>(Instruments.Reloads.Name, Instruments.Reloads.Unit, Instruments.Reloads.Description);
        _reloads.Add(0, ReloadOk);
        _reloads.Add(0, ReloadRefused);
        Gauge(Instruments.LastReloadSuccessful, () => _lastReloadSucceeded ? 1L : 0L);
        Gauge(Instruments.LastReloadTime, () => Volatile.Read(ref _lastReloadAt));
        Gauge(Instruments.StartTime, () => startedAt);
        Gauge(Instruments.Memory, () => Environment.WorkingSet);
        Gauge(Instruments.OpenDescriptors, () => (long)Directory.EnumerateFileSystemEntries("/proc/self/fd").Count());

        void Gauge<T>(InstrumentDefinition definition, Func<T> read)
            where T : struct => meter.CreateObservableGauge(definition.Name, read, definition.Unit, definition.Description);

        void Counter<T>(InstrumentDefinition definition, Func<IEnumerable<Measurement<T>>> read)
            where T : struct => meter.CreateObservableCounter(definition.Name, read, definition.Unit, definition.Description);

        Counter<double>(Instruments.GcPauses, () => [new Measurement<double>(GC.GetTotalPauseDuration().TotalSeconds)]);
        var generations = new TagSets(Instruments.GcCollections);
        Counter<long>(Instruments.GcCollections, () => Enumerable.Range(0, GC.MaxGeneration + 1).Select(Collections));
        Measurement<long> Collections(int generation) =>
            new(GC.CollectionCount(generation) - (generation < GC.MaxGeneration ? GC.CollectionCount(generation + 1) : 0), generations.For(generation.ToString())[0]);

        var modes = new TagSets(Instruments.Cpu);
        Counter<double>(Instruments.Cpu, ReadCpu);
        IEnumerable<Measurement<double>> ReadCpu()
        {
            var cpu = Environment.CpuUsage;
            return [new(cpu.UserTime.TotalSeconds, modes.For("user")[0]), new(cpu.PrivilegedTime.TotalSeconds, modes.For("system")[0])];
        }

        var build = new Measurement<long>(1, BuildTags());
        meter.CreateObservableGauge(Instruments.BuildInfo.Name, () => build, Instruments.BuildInfo.Unit, Instruments.BuildInfo.Description);
    }

    /// <inheritdoc/>
    public void Reloaded(bool succeeded)
    {
        _reloads.Add(1, succeeded ? ReloadOk : ReloadRefused);
        _lastReloadSucceeded = succeeded;
        if (succeeded)
        {
            Volatile.Write(ref _lastReloadAt, Now());
        }
    }

    /// <summary>Version of the daemon as built.</summary>
    internal static string Version =>
        typeof(ProcessMetrics).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    private static KeyValuePair<string, object?>[] BuildTags() =>
    [
        new("version", Version),
        new("runtime", RuntimeInformation.FrameworkDescription),
        new("kernel", KernelRelease()),
    ];

    /// <summary>As uname(2) says.</summary>
    internal static string KernelRelease() => File.ReadAllText("/proc/sys/kernel/osrelease").Trim();

    private double Now() => _time.GetUtcNow().ToUnixTimeMilliseconds() / 1000.0;
}
