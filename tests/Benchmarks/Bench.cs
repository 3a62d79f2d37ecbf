using System.ComponentModel;
using UffdManager.Benchmarks.Scenarios;

namespace UffdManager.Benchmarks;

/// <summary>What scenarios work with: the options, the image, the two handlers, the load client and the report.</summary>
internal sealed class Bench : IAsyncDisposable
{
    private const long ImageBytes = 1L << 30;
    private readonly string _image;

    private Bench(BenchOptions options, Report report, string image)
    {
        Options = options;
        Report = report;
        _image = image;
        Client = new LoadClient(options, image);
        Vms = new VmClient(options, image);
        Handlers = new HandlerFactory(options, image);
    }

    public BenchOptions Options { get; }

    public Report Report { get; }

    public LoadClient Client { get; }

    public VmClient Vms { get; }

    public HandlerFactory Handlers { get; }

    /// <summary>Faults of one latency or throughput measurement.</summary>
    public long Faults => Options.Quick ? 8192 : 65536;

    /// <summary>The image is written once and stays in the page cache: the disk is not what is measured.</summary>
    public static async Task<Bench> PrepareAsync(BenchOptions options, Report report)
    {
        string directory = Path.GetDirectoryName(options.Output)!;
        Directory.CreateDirectory(directory);
        var bench = new Bench(options, report, Path.Combine(directory, "image.raw"));
        await bench.Client.MakeImageAsync(ImageBytes);
        return bench;
    }

    /// <summary>Runs one scenario; what it cannot measure becomes a failed row.</summary>
    public async Task RunAsync(Scenario scenario)
    {
        Console.WriteLine($"== {scenario.Name}");
        try
        {
            foreach (Row row in await scenario.RunAsync(this))
            {
                Report.Add(row);
                Console.WriteLine(Report.Line(row));
            }
        }
        catch (Exception e) when (e is BenchException or IOException or HttpRequestException or UnauthorizedAccessException or Win32Exception)
        {
            var row = new Row { Name = scenario.Name, Unit = "", Error = e.Message };
            Report.Add(row);
            Console.WriteLine(Report.Line(row));
        }
    }

    public ValueTask DisposeAsync()
    {
        Vms.ForgetTraces();
        File.Delete(_image);
        return ValueTask.CompletedTask;
    }
}
