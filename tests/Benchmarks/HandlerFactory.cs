using System.Text.Json;
using System.Text.RegularExpressions;

namespace UffdManager.Benchmarks;

/// <summary>Starts the two handlers, each with a socket of its own in a fresh directory.</summary>
internal sealed partial class HandlerFactory(BenchOptions options, string image)
{
    private static readonly TimeSpan s_startPatience = TimeSpan.FromSeconds(30);

    /// <summary>The reference handler; <paramref name="zero"/>: it serves zero pages instead of the image.</summary>
    public async Task<Handler> StartReferenceAsync(int? cpu, bool zero = false, HandlerRole role = HandlerRole.Reference)
    {
        string directory = Directory.CreateTempSubdirectory("uffd-bench-").FullName;
        string socket = Path.Combine(directory, "reference.sock");
        string[] contents = zero ? ["--zero"] : ["--image", image];
        ChildProcess process = ChildProcess.Start(
            Path.Combine(options.Native, "uffd-bench-reference"), ["--socket", socket, .. contents], cpu, options.Nice);
        await AwaitLineAsync(process, line => line == "ready");
        return new Handler(role, "reference", socket, process, directory);
    }

    /// <summary>The manager, or what stands in for it.</summary>
    /// <param name="cpu">The CPU that it may use.</param>
    /// <param name="zero">Only for the stand-in: the manager is told by the policy that the client names.</param>
    /// <param name="logLevel">Least level that it logs.</param>
    public async Task<Handler> StartManagerAsync(int? cpu, bool zero = false, string logLevel = "information")
    {
        if (options.SelfCheck)
            return await StartReferenceAsync(cpu, zero, HandlerRole.Manager);
        string directory = Directory.CreateTempSubdirectory("uffd-bench-").FullName;
        string socket = Path.Combine(directory, "manager.sock");
        string configuration = Path.Combine(directory, "config.json");
        await File.WriteAllTextAsync(configuration, JsonSerializer.Serialize(Configuration(socket, logLevel)));
        ChildProcess process = ChildProcess.Start(
            options.Daemon, ["run", "--config", configuration], cpu, options.Nice, options.ManagerEnvironment, errorsAreLines: true);
        string ready = await AwaitLineAsync(process, line => line.Contains("Ready", StringComparison.Ordinal));
        process.DiscardLines();
        return new Handler(HandlerRole.Manager, "native", socket, process, directory) { Metrics = MetricsIn(ready) };
    }

    /// <summary>The manager under uffd-supervise, which keeps its descriptors and starts it again at once when it dies.</summary>
    public async Task<Handler> StartSupervisedAsync()
    {
        string directory = Directory.CreateTempSubdirectory("uffd-bench-").FullName;
        string socket = Path.Combine(directory, "manager.sock");
        string configuration = Path.Combine(directory, "config.json");
        await File.WriteAllTextAsync(configuration, JsonSerializer.Serialize(Configuration(socket, "information")));
        if (!File.Exists(options.Daemon))
            throw new BenchException($"{options.Daemon} is missing: scripts/publish.sh makes it");
        ChildProcess process = ChildProcess.Start(
            Path.Combine(options.Native, "uffd-supervise"),
            [$"--listen=native:seqpacket:{socket}", "--backoff-max=0", "--", options.Daemon, "run", "--config", configuration],
            nice: options.Nice, environment: options.ManagerEnvironment, errorsAreLines: true);
        await AwaitLineAsync(process, line => line.Contains("Ready: ", StringComparison.Ordinal));
        process.DiscardLines();
        return new Handler(HandlerRole.Manager, "native", socket, process, directory);
    }

    /// <summary>The reference handler of VMs; <paramref name="faultAll"/>: the first fault fills all of a VM's memory.</summary>
    public async Task<Handler> StartSnapshotReferenceAsync(bool faultAll = false, HandlerRole role = HandlerRole.Reference, int? cpu = null)
    {
        string directory = Directory.CreateTempSubdirectory("uffd-bench-").FullName;
        string socket = Path.Combine(directory, "snapshot.sock");
        ChildProcess process = ChildProcess.Start(
            Path.Combine(options.Native, "uffd-firecracker-reference"),
            ["--socket", socket, "--image", image, .. faultAll ? (string[])["--fault-all"] : []], cpu, options.Nice);
        await AwaitLineAsync(process, line => line == "ready");
        return new Handler(role, "snapshot", socket, process, directory);
    }

    /// <summary>The manager, which serves the image to VMs.</summary>
    /// <param name="prefetch">How: the policy's <c>prefetch.mode</c>.</param>
    /// <param name="cpu">The CPU that it may use; null is any.</param>
    public async Task<Handler> StartSnapshotManagerAsync(string prefetch = "none", int? cpu = null)
    {
        if (options.SelfCheck)
            return await StartSnapshotReferenceAsync(faultAll: prefetch == "full", HandlerRole.Manager, cpu);
        string directory = Directory.CreateTempSubdirectory("uffd-bench-").FullName;
        string socket = Path.Combine(directory, "snapshot.sock");
        string configuration = Path.Combine(directory, "config.json");
        await File.WriteAllTextAsync(configuration, JsonSerializer.Serialize(SnapshotConfiguration(socket, image, prefetch)));
        ChildProcess process = ChildProcess.Start(
            options.Daemon, ["run", "--config", configuration], cpu, options.Nice, options.ManagerEnvironment, errorsAreLines: true);
        string ready = await AwaitLineAsync(process, line => line.Contains("Ready", StringComparison.Ordinal));
        process.DiscardLines();
        return new Handler(HandlerRole.Manager, "snapshot", socket, process, directory) { Metrics = MetricsIn(ready) };
    }

    private static object SnapshotConfiguration(string socket, string image, string prefetch) => new
    {
        listen = new { socket = Path.Combine(Path.GetDirectoryName(socket)!, "manager.sock") },
        control = new { socket = Path.Combine(Path.GetDirectoryName(socket)!, "control.sock") },
        metrics = new { port = 0 },
        policies = new { memory = new { source = new { kind = "client" }, prefetch = new { mode = prefetch } } },
        tenants = new
        {
            vms = new
            {
                @default = true,
                defaultPolicy = "memory",
                policies = new[] { "*" },
                sourceDirectories = new[] { Path.GetDirectoryName(image) },
                limits = new { sessions = 4096, connections = 4096, sources = 4096 },
            },
        },
        snapshots = new { image = new { image, tenant = "vms", socket } },
    };

    private static object Configuration(string socket, string logLevel) => new
    {
        listen = new { socket },
        control = new { socket = Path.Combine(Path.GetDirectoryName(socket)!, "control.sock") },
        metrics = new { port = 0 },
        logging = new { level = logLevel },
        workingSets = new { directory = Path.Combine(Path.GetDirectoryName(socket)!, "working-sets") },
        policies = new Dictionary<string, object>(StringComparer.Ordinal)
        {
            ["image"] = new { source = new { kind = "client" } },
            ["image-poll"] = new { source = new { kind = "client" }, busyPoll = "200us" },
            ["image-replay"] = new { source = new { kind = "client" }, prefetch = new { mode = "replay" } },
            ["zero"] = new { source = new { kind = "zero" } },
        },
        tenants = new
        {
            bench = new
            {
                @default = true,
                defaultPolicy = "image",
                policies = new[] { "*" },
                limits = new { sessions = 4096, connections = 4096, sources = 4096 },
            },
        },
    };

    private static Uri? MetricsIn(string ready)
    {
        Match url = Url().Match(ready);
        return url.Success ? new Uri(url.Value) : null;
    }

    private static async Task<string> AwaitLineAsync(ChildProcess process, Func<string, bool> isIt)
    {
        while (true)
        {
            string line = await process.ReadLineAsync(s_startPatience)
                ?? throw new BenchException($"the handler ended before it was ready{process.LastErrors()}");
            if (isIt(line))
                return line;
        }
    }

    [GeneratedRegex(@"https?://[^\s,]+", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Url();
}
