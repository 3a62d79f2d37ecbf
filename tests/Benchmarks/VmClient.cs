using System.Diagnostics;
using System.Globalization;

namespace UffdManager.Benchmarks;

/// <summary>Runs the emulated VMM against a handler and reads the lines that it prints.</summary>
internal sealed class VmClient(BenchOptions options, string image)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(180);
    private static readonly TimeSpan s_closing = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_pace = TimeSpan.FromMilliseconds(20);
    private readonly string _program = Path.Combine(options.Native, "uffd-firecracker");

    /// <summary>One VM, or as many as the arguments say, from its hand-over to its end.</summary>
    /// <param name="handler">Who serves.</param>
    /// <param name="word">The line with the measurement begins with it.</param>
    /// <param name="arguments">Mode and options.</param>
    /// <returns>Every number of the line, and <see cref="LoadClient.HandlerCpu"/>.</returns>
    public Task<Dictionary<string, double>> RunAsync(Handler handler, string word, params string[] arguments) => RunAsync(handler, null, word, arguments);

    /// <summary>The same, on one CPU.</summary>
    /// <param name="handler">Who serves.</param>
    /// <param name="cpu">Of all threads of the VMs; null is any.</param>
    /// <param name="word">The line with the measurement begins with it.</param>
    /// <param name="arguments">Mode and options.</param>
    /// <returns>Every number of the line, and <see cref="LoadClient.HandlerCpu"/>.</returns>
    public async Task<Dictionary<string, double>> RunAsync(Handler handler, int? cpu, string word, params string[] arguments)
    {
        IReadOnlyDictionary<string, long> before = ProcessUsage.CpuNanoseconds(handler.Process.Pid);
        await using ChildProcess process = ChildProcess.Start(
            _program, [.. arguments, "--socket", handler.Socket, "--image", image, "--pattern", "--quick"], cpu, options.Nice);
        process.CloseInput();
        try
        {
            Dictionary<string, double>? measured = null;
            string? last = null;
            while (await process.ReadLineAsync(s_patience) is { } line)
            {
                last = line;
                if (line.StartsWith(word + " ", StringComparison.Ordinal))
                    measured = Parse(line);
            }

            if (measured is null || last?.StartsWith("ok ", StringComparison.Ordinal) != true)
                throw new BenchException($"the VM did not end well: {last}{process.LastErrors()}");
            await process.WaitAsync(s_patience);
            measured[LoadClient.HandlerCpu] = ProcessUsage.CpuNanosecondsSince(handler.Process.Pid, before);
            return measured;
        }
        catch (BenchException e) when (handler.Process.HasExited)
        {
            throw new BenchException($"the {handler.Role} died{handler.Process.LastErrors()}; {e.Message}", e);
        }
    }

    /// <summary>A VM that has read a page and does nothing more; disposing of it ends it.</summary>
    /// <exception cref="BenchException">It could not read.</exception>
    public async Task<IAsyncDisposable> StartIdleAsync(Handler handler)
    {
        ChildProcess process = ChildProcess.Start(_program, ["script", "--socket", handler.Socket, "--image", image, "--pattern"], nice: options.Nice);
        try
        {
            await process.WriteLineAsync("read 0");
            while (await process.ReadLineAsync(s_patience) is { } line)
            {
                if (line.StartsWith("done ", StringComparison.Ordinal))
                    return process;
            }

            throw new BenchException($"the VM ended{process.LastErrors()}");
        }
        catch
        {
            await process.DisposeAsync();
            throw;
        }
    }

    /// <summary>Drops the image from the page cache. A handler that still closes the session before has it mapped for a moment longer.</summary>
    /// <exception cref="BenchException">A part of it stays: a handler has it mapped, and the measurement would be of something else.</exception>
    public async Task DropCacheAsync()
    {
        using var timer = new PeriodicTimer(s_pace);
        long began = Stopwatch.GetTimestamp();
        while (await TryDropCacheAsync() is var left and > 0)
        {
            if (Stopwatch.GetElapsedTime(began) > s_closing)
                throw new BenchException($"{left:0} bytes of the image stay in the page cache");
            await timer.WaitForNextTickAsync();
        }
    }

    // Returns how many bytes are left.
    private async Task<double> TryDropCacheAsync()
    {
        await using ChildProcess process = ChildProcess.Start(_program, ["drop-cache", image]);
        string line = await process.ReadLineAsync(s_patience) ?? throw new BenchException($"the page cache could not be dropped{process.LastErrors()}");
        await process.WaitAsync(s_patience);
        return Parse(line)["left"];
    }

    /// <summary>Brings the image into the page cache.</summary>
    public async Task FillCacheAsync()
    {
        await using FileStream file = File.OpenRead(image);
        await file.CopyToAsync(Stream.Null, 1 << 20);
    }

    /// <summary>Removes what managers have recorded of the image.</summary>
    public void ForgetTraces()
    {
        foreach (string trace in Traces())
            File.Delete(trace);
    }

    /// <summary>Waits until a manager has written what it has recorded.</summary>
    /// <exception cref="BenchException">It does not.</exception>
    public async Task AwaitTraceAsync()
    {
        using var timer = new PeriodicTimer(s_pace);
        long begin = Stopwatch.GetTimestamp();
        while (!Traces().Any())
        {
            if (Stopwatch.GetElapsedTime(begin) > s_patience)
                throw new BenchException("the manager writes no trace of the working set");
            await timer.WaitForNextTickAsync();
        }
    }

    private IEnumerable<string> Traces() =>
        Directory.EnumerateFiles(Path.GetDirectoryName(image)!, Path.GetFileName(image) + ".*.trace");

    private static Dictionary<string, double> Parse(string line) => line.Split(' ').Skip(1)
        .Select(part => part.Split('='))
        .Where(pair => pair.Length == 2 && double.TryParse(pair[1], CultureInfo.InvariantCulture, out _))
        .ToDictionary(pair => pair[0], pair => double.Parse(pair[1], CultureInfo.InvariantCulture), StringComparer.Ordinal);
}
