using System.Text.Json;

namespace UffdManager.Benchmarks;

/// <summary>Runs the load client against a handler and reads the line that it prints.</summary>
internal sealed class LoadClient(BenchOptions options, string image)
{
    /// <summary>Metric of every measurement: time on a CPU of all threads of the handler while the client ran.</summary>
    public const string HandlerCpu = "handler_cpu_ns";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);
    private readonly string _program = Path.Combine(options.Native, "uffd-bench-client");

    /// <summary>Writes the image that all handlers serve.</summary>
    public async Task MakeImageAsync(long bytes)
    {
        await using ChildProcess process = ChildProcess.Start(_program, ["make-image", "--image", image, "--length", $"{bytes}"]);
        await process.WaitAsync(s_patience);
    }

    /// <summary>Makes the image look as if it had been written at another time.</summary>
    public void Age(DateTime written) => File.SetLastWriteTimeUtc(image, written);

    /// <summary>One measurement.</summary>
    /// <param name="handler">Who serves.</param>
    /// <param name="load">What is asked of it.</param>
    /// <returns>Every number of the client's JSON line, and <see cref="HandlerCpu"/>.</returns>
    public async Task<IReadOnlyDictionary<string, double>> RunAsync(Handler handler, Load load)
    {
        IReadOnlyDictionary<string, long> before = ProcessUsage.CpuNanoseconds(handler.Process.Pid);
        await using ChildProcess process = Start(handler, load);
        try
        {
            process.CloseInput();
            Dictionary<string, double> measured = await ReadAsync(process);
            await process.WaitAsync(s_patience);
            measured[HandlerCpu] = ProcessUsage.CpuNanosecondsSince(handler.Process.Pid, before);
            return measured;
        }
        catch (BenchException e) when (handler.Process.HasExited)
        {
            throw new BenchException($"the {handler.Role} died{handler.Process.LastErrors()}; {e.Message}", e);
        }
    }

    /// <summary>Starts a client that prints its line and then stays until its input is closed (mode idle).</summary>
    public ChildProcess Start(Handler handler, Load load)
    {
        var arguments = new List<string> { load.Mode, "--socket", handler.Socket, "--protocol", handler.Protocol };
        arguments.AddRange(load.Arguments(image));
        return ChildProcess.Start(_program, arguments, nice: options.Nice);
    }

    /// <summary>Starts processes with a session each, which touch a new page for each line of input; they say "ready" first.</summary>
    public async Task<ChildProcess> StartCrowdAsync(Handler handler, int sessions)
    {
        ChildProcess process = ChildProcess.Start(
            Path.Combine(options.Native, "uffd-survival-client"),
            ["crowd", "--socket", handler.Socket, "--source", image, "--count", $"{sessions}", "--parallel", "8", "--pages", "256"],
            nice: options.Nice);
        string? line = await process.ReadLineAsync(s_patience);
        if (line?.StartsWith("ready ", StringComparison.Ordinal) == true)
            return process;
        await process.DisposeAsync();
        throw new BenchException($"the clients did not open their sessions: {line}{process.LastErrors()}");
    }

    public static async Task<Dictionary<string, double>> ReadAsync(ChildProcess process)
    {
        string? line = await process.ReadLineAsync(s_patience);
        if (line is null)
        {
            await process.WaitAsync(s_patience);
            throw new BenchException("the load client printed nothing");
        }

        using JsonDocument document = JsonDocument.Parse(line);
        return document.RootElement.EnumerateObject()
            .Where(property => property.Value.ValueKind == JsonValueKind.Number)
            .ToDictionary(property => property.Name, property => property.Value.GetDouble(), StringComparer.Ordinal);
    }
}
