using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>What one daemon learns of an image, it and the next one install ahead of the faults.</summary>
public sealed class WorkingSetTests : IDisposable
{
    private const ulong PageSize = 4096;
    private const int Pages = 2048;

    private readonly TempDirectory _images = new();
    private readonly byte[] _image = new byte[Pages * (int)PageSize];

    // Every third page: 683 of them, some ten of which are left to their faults.
    private static IEnumerable<ulong> Wanted => Enumerable.Range(0, Pages / 3).Select(i => (ulong)i * 3);

    private string ImagePath => _images.Combine("mem.bin");

    private string TracePath => ImagePath + ".everybody.4k.trace";

    private string Configuration => $$"""
        {
          "policies": { "vm": { "source": { "kind": "client" }, "prefetch": { "mode": "replay" } } },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "vm", "sourceDirectories": ["{{_images.Path}}"] } },
          "workingSets": { "directory": "{{_images.Combine("traces")}}" }
        }
        """;

    public WorkingSetTests()
    {
        new Random(7).NextBytes(_image);
        _images.WriteFile("mem.bin", _image);
    }

    public void Dispose() => _images.Dispose();

    [Fact]
    public async Task Working_set_is_learnt_by_one_daemon_and_replayed_by_the_next()
    {
        await using (DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration))
        {
            Assert.Equal((ulong)Wanted.Count(), Run(daemon));
            Eventually.True(() => File.Exists(TracePath), "the trace beside the image");
            AwaitRun(daemon, "recorded");
        }

        await using DaemonProcess next = await DaemonProcess.StartAsync(Configuration);
        Assert.InRange(Run(next, replayed: true), 0ul, (ulong)Wanted.Count() * 5 / 100);
        AwaitRun(next, "replayed");
        Assert.InRange(
            await CountAsync(next, "uffd_manager_replay_pages_total", "installed"), Wanted.Count() * 95 / 100, Wanted.Count());
    }

    [Fact]
    public async Task Damaged_trace_is_told_in_the_log_and_the_bytes_are_right()
    {
        await using (DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration))
        {
            Run(daemon);
            Eventually.True(() => File.Exists(TracePath), "the trace beside the image");
        }

        byte[] trace = await File.ReadAllBytesAsync(TracePath);
        trace[^40] ^= 1;
        await File.WriteAllBytesAsync(TracePath, trace);
        await using DaemonProcess next = await DaemonProcess.StartAsync(Configuration);
        Assert.Equal((ulong)Wanted.Count(), Run(next));
        await next.WaitForLogAsync($"The trace of {ImagePath} for tenant everybody is not used, it is damaged");
    }

    private ulong Run(DaemonProcess daemon, bool replayed = false)
    {
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath);
        using (connection)
        {
            ulong address = client.Map("anon", (ulong)_image.Length).Address;
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, (ulong)_image.Length, source: "mem.bin"));
            if (replayed)
                Eventually.True(() => Resident(client, address) >= Wanted.Count() * 95 / 100, "the replay");
            foreach (ulong page in Wanted)
                Assert.Equal(_image[page * PageSize], client.ReadByte(address + (page * PageSize)));
            return connection.Ask<StatusReplyMessage>(new StatusMessage()).Faults;
        }
    }

    private static void AwaitRun(DaemonProcess daemon, string outcome) => Eventually.True(
        () => CountAsync(daemon, "uffd_manager_replay_runs_total", outcome).GetAwaiter().GetResult() == 1, $"the run to be {outcome}");

    // Pages that are there, as the kernel sees it.
    private static int Resident(ClientProcess client, ulong address)
    {
        using SafeFile pagemap = PagemapScan.OpenPagemap(client.Pid);
        PageRegion[] found = new PageRegion[Pages];
        PagemapScanRequest request = new()
        {
            Start = address,
            End = address + (Pages * PageSize),
            AnyOf = PageCategories.Present,
            Returned = PageCategories.Present,
        };
        Assert.Equal(Errno.OK, PagemapScan.Scan(pagemap, request, found, out int count, out _));
        return found[..count].Sum(region => (int)((region.End - region.Start) / PageSize));
    }

    private static async Task<double> CountAsync(DaemonProcess daemon, string metric, string label)
    {
        string line = Assert.Single(
            (await daemon.GetAsync("metrics")).Split('\n'),
            line => line.StartsWith(metric + "{", StringComparison.Ordinal) && line.Contains($"\"{label}\"", StringComparison.Ordinal)
                && line.Contains("\"everybody\"", StringComparison.Ordinal));
        return double.Parse(line.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
    }
}
