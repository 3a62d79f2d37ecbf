using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using UffdManager.EndToEnd.Tests.Model;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>A daemon with images by name, and what an operator does there with the VMs that are restored from them.</summary>
internal sealed class VmHost : IAsyncDisposable
{
    private readonly TempDirectory _directory = new();
    private DaemonProcess _daemon = null!;
    private ModelControl _control = null!;

    private VmHost()
    {
    }

    /// <summary>Where the image "memory" is served.</summary>
    public string Socket => _directory.Combine("memory.sock");

    /// <summary>How many pages snapshots have saved because somebody waited to write them.</summary>
    public long SavedPages { get; private set; }

    /// <summary>Starts it.</summary>
    /// <param name="memory">Memory file that becomes the image "memory".</param>
    public static async Task<VmHost> StartAsync(string memory)
    {
        VmHost host = new();
        try
        {
            string control = host.Combine("control.sock");
            JsonNode configuration = JsonNode.Parse(SnapshotConfiguration.For("memory", host.Socket))!;
            configuration["images"] = new JsonObject { ["directory"] = host.Combine("images") };
            configuration["tenants"]!["vms"]!["images"] = new JsonArray("*");
            configuration["tenants"]!["vms"]!["sourceDirectories"] = new JsonArray();
            host._daemon = await DaemonProcess.StartAsync(configuration.ToJsonString(), new Dictionary<string, string> { ["UFFD_MANAGER__control__socket"] = control });
            host._control = new ModelControl(control);
            await host._daemon.WaitForLogAsync("memory.sock");
            await host.AddImageAsync("memory", memory);
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    /// <summary>A path of this host's own.</summary>
    public string Combine(string name) => _directory.Combine(name);

    /// <summary>Adds an image.</summary>
    public Task AddImageAsync(string name, string file, string? onto = null) =>
        AskAsync(HttpMethod.Post, "v1/images", $$"""{ "name": "{{name}}", "file": "{{file}}"{{(onto is null ? "" : $", \"base\": \"{onto}\"")}} }""");

    /// <summary>Serves an image.</summary>
    /// <returns>The socket.</returns>
    public async Task<string> ServeAsync(string image)
    {
        string socket = Combine($"{image}.sock");
        await AskAsync(HttpMethod.Post, "v1/snapshots", $$"""{ "name": "{{image}}", "image": "{{image}}", "tenant": "vms", "socket": "{{socket}}", "mode": "0666" }""");
        return socket;
    }

    /// <summary>The session of a VM that has been served a page.</summary>
    /// <returns>Its path in the control API.</returns>
    public async Task<string> SessionOfAsync(int pid)
    {
        JsonElement sessions = (await AskAsync(HttpMethod.Get, "v1/sessions")).GetProperty("sessions");
        JsonElement found = sessions.EnumerateArray().Single(session => session.GetProperty("pid").GetInt32() == pid);
        return string.Create(CultureInfo.InvariantCulture, $"v1/sessions/{found.GetProperty("id").GetInt64()}");
    }

    /// <summary>Takes a snapshot, which must succeed, and checks that its pages lie as in the memory file.</summary>
    /// <returns>Path of the file.</returns>
    public async Task<string> SnapshotAsync(string session, string name, string? onto = null)
    {
        string file = Combine(name);
        ModelAnswer? answer = await _control.StreamAsync(
            $"{session}/snapshot", $$"""{ "out": "{{file}}"{{(onto is null ? "" : $", \"base\": \"{onto}\"")}} }""", _ => Task.CompletedTask);
        Assert.True(answer is { IsSuccess: true } && answer.Json.GetProperty("result").GetString() == "written", answer?.Text);
        SavedPages += answer!.Json.GetProperty("savedPages").GetInt64();
        JsonElement description = JsonDocument.Parse(await File.ReadAllTextAsync($"{file}.json")).RootElement;
        Assert.Equal("source", description.GetProperty("layout").GetString());
        Assert.Equal(new FileInfo(file).Length, description.GetProperty("bytes").GetInt64());
        return file;
    }

    /// <summary>Why a snapshot is refused.</summary>
    public async Task<string> RefusedSnapshotAsync(string session)
    {
        ModelAnswer? answer = await _control.StreamAsync($"{session}/snapshot", $$"""{ "out": "{{Combine("refused")}}" }""", _ => Task.CompletedTask);
        Assert.True(answer is { IsSuccess: false }, answer?.Text);
        return answer!.Text;
    }

    /// <summary>Takes the list of changed pages, as offsets in the memory file, in units of pages of the guest.</summary>
    public async Task<SortedSet<long>> TakeChangedAsync(string session, int pageBytes)
    {
        JsonElement regions = (await AskAsync(HttpMethod.Get, $"{session}/regions")).GetProperty("regions");
        JsonElement pages = await AskAsync(HttpMethod.Post, $"{session}/tracking/pages?limit=10000");
        Assert.Equal(JsonValueKind.Null, pages.GetProperty("next").ValueKind);
        SortedSet<long> changed = [];
        foreach (JsonElement run in pages.GetProperty("runs").EnumerateArray())
        {
            for (long at = 0; at < run.GetProperty("length").GetInt64(); at += pageBytes)
                changed.Add(OffsetOf(regions, AddressOf(run) + at) / pageBytes);
        }

        return changed;
    }

    /// <summary>Asks, and must be answered well.</summary>
    public async Task<JsonElement> AskAsync(HttpMethod method, string path, string? body = null)
    {
        ModelAnswer? answer = await _control.AskAsync(method, path, body);
        Assert.True(answer is { IsSuccess: true }, $"{method} {path}: {answer?.Text}");
        return answer!.Text.Length == 0 ? default : answer.Json;
    }

    public async ValueTask DisposeAsync()
    {
        _control?.Dispose();
        if (_daemon is not null)
            await _daemon.DisposeAsync();
        _directory.Dispose();
    }

    private static long AddressOf(JsonElement range) => Convert.ToInt64(range.GetProperty("start").GetString(), 16);

    private static long OffsetOf(JsonElement regions, long address)
    {
        JsonElement region = regions.EnumerateArray().Single(region => address >= AddressOf(region) && address < AddressOf(region) + region.GetProperty("length").GetInt64());
        return region.GetProperty("sourceOffset").GetInt64() + address - AddressOf(region);
    }
}
