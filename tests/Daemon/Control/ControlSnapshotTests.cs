using System.Net;
using System.Text.Json;
using UffdManager.Daemon.Tests.FrontDoors.Snapshots;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Snapshots by the control API, on a real daemon with a real VM.</summary>
public sealed class ControlSnapshotTests : IDisposable
{
    private static readonly ControlApiDocument s_document = ControlApiDocument.Read();

    private readonly TempDirectory _directory = new();
    private readonly byte[] _image = new byte[16 * 4096];

    public ControlSnapshotTests()
    {
        new Random(5).NextBytes(_image);
        _directory.WriteFile("mem.bin", _image);
    }

    private string Configuration => $$"""
        {
          "policies": { "vm": { "source": { "kind": "client" } }, "other": {} },
          "tenants": { "vms": { "default": true, "defaultPolicy": "vm", "sourceDirectories": ["{{_directory.Path}}"] } },
          "snapshots": { "fixed": { "image": "mem.bin", "tenant": "vms", "socket": "{{Socket("fixed")}}" } }
        }
        """;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Snapshot_is_served_shown_and_stopped_with_documents_as_they_are_written_down()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        using ControlClient control = new(daemon);
        string body = $$"""{ "name": "run", "image": "mem.bin", "tenant": "vms", "socket": "{{Socket("run")}}", "mode": "0600", "timeoutSeconds": 1.5, "maxVms": 3, "match": { "uids": [0] } }""";

        JsonElement served = await control.AskAsync("POST /v1/snapshots", HttpStatusCode.Created, body);
        s_document.Check("Snapshot", served);
        s_document.Check("Snapshot", await control.AskAsync("POST /v1/snapshots", HttpStatusCode.OK, body));
        using EmulatedVm vm = EmulatedVm.Boot(Socket("run"), (ulong)_image.Length).HandOver();
        vm.AssertHolds(_image);

        JsonElement list = await control.AskAsync("GET /v1/snapshots");
        s_document.Check("SnapshotList", list);
        Assert.Equal(["fixed", "run"], list.GetProperty("snapshots").EnumerateArray().Select(snapshot => snapshot.GetProperty("name").GetString()));
        JsonElement run = await control.AskAsync("GET /v1/snapshots/RUN");
        Assert.Equal(
            ("runtime", "listening", "firecracker", "0600", 1.5, 3, 1),
            (run.GetProperty("origin").GetString(), run.GetProperty("state").GetString(), run.GetProperty("protocol").GetString(), run.GetProperty("mode").GetString(), run.GetProperty("timeoutSeconds").GetDouble(),
                run.GetProperty("maxVms").GetInt32(), run.GetProperty("sessions").GetArrayLength()));
        long session = run.GetProperty("sessions")[0].GetInt64();
        Assert.Equal(vm.Client.Pid, (await control.AskAsync($"GET /v1/sessions/{session}")).GetProperty("pid").GetInt32());

        s_document.Check("Snapshot", await control.AskAsync("DELETE /v1/snapshots/run"));
        await control.AskAsync("GET /v1/snapshots/run", HttpStatusCode.NotFound);
        await control.AskAsync("DELETE /v1/snapshots/run", HttpStatusCode.NotFound);
        await control.AskAsync("DELETE /v1/snapshots/fixed", HttpStatusCode.Conflict);
        Assert.False(vm.Client.HasExited);
        await daemon.WaitForLogAsync($"Snapshot run is served at {Socket("run")} for uid 0");
        await daemon.WaitForLogAsync($"Snapshot run was stopped at {Socket("run")} for uid 0");
        string metrics = await daemon.GetAsync("metrics");
        Assert.Equal("1", ValueOf(metrics, "uffd_manager_requests_total", "door=\"snapshot\"", "request=\"hand_over\"", "outcome=\"ok\""));
        Assert.Equal("0", ValueOf(metrics, "uffd_manager_vms_killed_total", "door=\"snapshot\"", "reason=\"bad_memory\""));
    }

    [Fact]
    public async Task Mistake_is_told_with_a_remedy_and_nothing_is_served()
    {
        (string Field, string Value, int Status, string Text)[] mistakes =
        [
            ("image", "null", 400, "image: it is required"),
            ("image", "\"gone.bin\"", 400, "No such file"),
            ("tenant", "\"\"", 400, "tenant: it is required"),
            ("tenant", "\"nobody\"", 400, "there is no tenant"),
            ("policy", "\"other\"", 400, "is not one that tenant vms may use"),
            ("socket", "\"run.sock\"", 400, "is no absolute path"),
            ("socket", "\"/run/a.new\"", 400, "ends in .new"),
            ("socket", "\"/no/such/place\"", 502, "ENOENT"),
            ("name", "\"a b\"", 400, "is not a usable name"),
            ("name", "\"fixed\"", 409, "there is a snapshot fixed already"),
            ("owner", "\"no-such-user\"", 400, "there is no user no-such-user"),
            ("protocol", "\"qemu\"", 400, "protocol: \"qemu\" is not known"),
            ("mode", "\"0999\"", 400, "mode: "),
            ("timeoutSeconds", "0", 400, "timeoutSeconds: "),
            ("maxVms", "-1", 400, "maxVms: "),
            ("maxVms", "\"many\"", 400, "the body is not the JSON"),
            ("match", "{\"pids\":[2147483647]}", 400, "there is no process 2147483647"),
            ("match", "{\"uids\":[-1]}", 400, "-1 is no user id"),
            ("match", "{\"cgroups\":[\"a\"]}", 400, "is no absolute path"),
        ];
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        using ControlClient control = new(daemon);
        foreach ((string field, string value, int status, string text) in mistakes)
        {
            Dictionary<string, string> fields = new() { ["image"] = "\"mem.bin\"", ["tenant"] = "\"vms\"", ["socket"] = $"\"{Socket("run")}\"", [field] = value };
            JsonElement problem = await control.AskAsync(
                "POST /v1/snapshots", (HttpStatusCode)status, $"{{{string.Join(',', fields.Select(pair => $"\"{pair.Key}\":{pair.Value}"))}}}");
            s_document.Check("Problem", problem);
            Assert.Contains(text, problem.GetProperty("detail").GetString(), StringComparison.OrdinalIgnoreCase);
            Assert.False(string.IsNullOrEmpty(problem.GetProperty("remedy").GetString()));
        }

        Assert.Equal(1, (await control.AskAsync("GET /v1/snapshots")).GetProperty("snapshots").GetArrayLength());
        Assert.False(File.Exists(Socket("run")));
    }

    private static string? ValueOf(string metrics, string name, params string[] labels) => metrics.Split('\n')
        .FirstOrDefault(line => line.StartsWith(name + "{", StringComparison.Ordinal) && labels.All(label => line.Contains(label, StringComparison.Ordinal)))?
        .Split(' ')[^1];

    private string Socket(string name) => _directory.Combine($"{name}.sock");
}
