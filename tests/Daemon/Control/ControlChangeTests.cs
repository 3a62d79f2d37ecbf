using System.Formats.Tar;
using System.IO.Compression;
using System.Net;
using System.Text;
using System.Text.Json;
using UffdManager.EndToEnd.Tests;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>What the control API changes, on a real daemon: kill, drain, reload, log levels; and the support archive.</summary>
public sealed class ControlChangeTests
{
    private const ulong PageSize = 4096;

    private static readonly ControlApiDocument s_document = ControlApiDocument.Read();

    [Fact]
    public async Task Session_that_is_killed_ends_with_its_process_and_the_log_says_for_whom()
    {
        await using ControlledSession it = await ControlledSession.StartAsync();
        using ClientProcess bystander = ClientProcess.Start();
        using WireConnection other = WireConnection.Attach(bystander, it.Daemon.SocketPath).Connection;
        JsonElement session = await it.Control.AskAsync($"DELETE /v1/sessions/{it.Id}", HttpStatusCode.Accepted);
        s_document.Check("Session", session);
        Assert.Contains(session.GetProperty("state").GetString(), (string[])["condemned", "ended"]);

        Eventually.True(() => it.Client.HasExited, "the client to be killed");
        Assert.False(bystander.HasExited);
        await it.Daemon.WaitForLogAsync($"Session {it.Id} of pid {it.Client.Pid} was killed for uid 0 (pid {Environment.ProcessId},");
        await it.Daemon.WaitForLogAsync($"Session {it.Id} of pid {it.Client.Pid} ended");
        await it.Control.AskAsync($"GET /v1/sessions/{it.Id}", HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Drain_refuses_new_sessions_and_tells_when_the_last_one_has_gone()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        using ClientProcess client = ClientProcess.Start();
        using ClientProcess late = ClientProcess.Start();
        using WireConnection connection = WireConnection.Attach(client, daemon.SocketPath).Connection;
        ulong address = client.Map("anon", 4 * PageSize).Address;
        bool isDone = false;
        await foreach (JsonElement line in control.StreamAsync("POST /v1/drain?timeout=60s"))
        {
            s_document.Check("DrainProgress", line);
            if (line.GetProperty("sessions").GetInt64() == 1)
            {
                Assert.Equal(1, line.GetProperty("tenants").GetProperty("everybody").GetInt64());
                AssertRefused(late, daemon);

                // The session that lives goes on in every respect.
                connection.Ask<RegisteredMessage>(WireConnection.Register(address, 4 * PageSize));
                Assert.True(client.IsFilledWith(address, 4 * PageSize, 0));
                Assert.StartsWith("draining", await daemon.GetAsync("readyz"), StringComparison.Ordinal);
                JsonElement status = await control.AskAsync("GET /v1/status");
                Assert.Equal(("draining", false), (status.GetProperty("phase").GetString(), status.GetProperty("ready").GetBoolean()));
                Assert.StartsWith("uid 0", status.GetProperty("drain").GetProperty("by").GetString(), StringComparison.Ordinal);
                client.Kill();
            }

            isDone = line.GetProperty("done").GetBoolean();
            Assert.Equal(isDone ? "drained" : null, line.GetProperty("result").GetString());
        }

        Assert.True(isDone);
        AssertRefused(late, daemon);
        using HttpResponseMessage ended = await control.SendAsync("DELETE /v1/drain", body: null);
        Assert.Equal(HttpStatusCode.NoContent, ended.StatusCode);
        using WireConnection accepted = WireConnection.Attach(late, daemon.SocketPath).Connection;
        Assert.StartsWith("ready", await daemon.GetAsync("readyz"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Drain_that_takes_too_long_says_so_and_one_that_is_ended_too()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        using ClientProcess client = ClientProcess.Start();
        using WireConnection connection = WireConnection.Attach(client, daemon.SocketPath).Connection;
        Assert.Equal("timeout", await LastResultAsync(control.StreamAsync("POST /v1/drain?timeout=200ms")));
        Assert.Equal("draining", (await control.AskAsync("GET /v1/status")).GetProperty("phase").GetString());

        string? result = null;
        bool isEnding = false;
        await foreach (JsonElement line in control.StreamAsync("POST /v1/drain"))
        {
            if (!isEnding)
                (await control.SendAsync("DELETE /v1/drain", body: null)).Dispose();
            isEnding = true;
            result = line.GetProperty("result").GetString();
        }

        Assert.Equal("ended", result);
    }

    [Fact]
    public async Task Reload_uses_a_good_configuration_and_refuses_a_bad_one_with_all_errors()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        await File.WriteAllTextAsync(daemon.ConfigurationPath, """{ "policies": { "zero": { "deadline": "soon" } }, "tenants": { "a": { "default": true, "defaultPolicy": "none" } } }""");
        JsonElement check = await control.AskAsync("POST /v1/config/check");
        s_document.Check("ConfigurationCheck", check);
        Assert.False(check.GetProperty("valid").GetBoolean());
        Assert.Equal(["policies.zero.deadline", "tenants.a.defaultPolicy"], Keys(check));

        JsonElement problem = await control.AskAsync("POST /v1/reload", HttpStatusCode.UnprocessableEntity);
        s_document.Check("Problem", problem);
        Assert.Equal(["policies.zero.deadline", "tenants.a.defaultPolicy"], Keys(problem));
        await control.AskAsync("GET /v1/tenants/everybody");

        await File.WriteAllTextAsync(daemon.ConfigurationPath, """{ "engine": { "fetchThreads": 3 }, "policies": { "zero": {} }, "tenants": { "anybody": { "default": true, "defaultPolicy": "zero" } } }""");
        JsonElement reload = await control.AskAsync("POST /v1/reload");
        s_document.Check("Reload", reload);
        Assert.Equal(["engine"], reload.GetProperty("needsRestart").EnumerateArray().Select(section => section.GetString()));
        await control.AskAsync("GET /v1/tenants/everybody", HttpStatusCode.NotFound);
        Assert.True((await control.AskAsync("GET /v1/tenants/anybody")).GetProperty("configured").GetBoolean());
        Assert.Equal(["engine"], (await control.AskAsync("GET /v1/config")).GetProperty("needsRestart").EnumerateArray().Select(section => section.GetString()));
        await daemon.WaitForLogAsync("The configuration is read again for uid 0");
    }

    [Fact]
    public async Task Log_level_holds_until_the_next_reload()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        using ClientProcess client = ClientProcess.Start();
        JsonElement levels = await control.AskAsync("PUT /v1/loglevel", body: """{ "categories": { "UffdManager.Daemon.FrontDoors": "debug" } }""");
        s_document.Check("LogLevels", levels);
        Assert.Equal("debug", levels.GetProperty("categories").GetProperty("UffdManager.Daemon.FrontDoors").GetString());
        await daemon.WaitForLogAsync("Log level changed for uid 0");
        using WireConnection connection = WireConnection.Attach(client, daemon.SocketPath).Connection;
        await daemon.WaitForLogAsync("dbug: UffdManager.Daemon.FrontDoors");

        await control.AskAsync("PUT /v1/loglevel", body: """{ "level": "ERROR", "categories": { "UffdManager.Daemon.FrontDoors": null } }""");
        Assert.Equal("error", (await control.AskAsync("GET /v1/loglevel")).GetProperty("level").GetString());
        await control.AskAsync("POST /v1/reload");
        Assert.Equal("information", (await control.AskAsync("GET /v1/loglevel")).GetProperty("level").GetString());
    }

    [Fact]
    public async Task Support_archive_has_what_the_document_lists_and_no_secrets()
    {
        Dictionary<string, string> environment = new() { ["UFFD_MANAGER__otlp__endpoint"] = "http://me:hush@127.0.0.1:4317" };
        await using ControlledSession it = await ControlledSession.StartAsync(environment: environment);
        ulong address = it.MapRegistered(PageSize);
        Dictionary<string, string> files = await BundleAsync(it.Control);
        Assert.Equal(DocumentedFiles().Order(StringComparer.Ordinal), files.Keys.Order(StringComparer.Ordinal));

        JsonElement manifest = JsonDocument.Parse(files["manifest.json"]).RootElement;
        s_document.Check("BundleManifest", manifest);
        Assert.Empty(manifest.GetProperty("failures").EnumerateObject());
        Assert.Equal(
            files.Keys.Where(name => name != "manifest.json").Order(StringComparer.Ordinal),
            manifest.GetProperty("files").EnumerateArray().Select(file => file.GetProperty("name").GetString()!).Order(StringComparer.Ordinal));
        s_document.Check("Status", JsonDocument.Parse(files["status.json"]).RootElement);
        s_document.Check("Configuration", JsonDocument.Parse(files["config.json"]).RootElement);
        Assert.Equal(it.Id, JsonDocument.Parse(files["sessions.ndjson"].Split('\n')[0]).RootElement.GetProperty("id").GetInt64());
        Assert.Contains($"0x{address:x}", files["regions.ndjson"], StringComparison.Ordinal);
        Assert.Contains("uffd_manager_sessions{", files["metrics.txt"], StringComparison.Ordinal);
        Assert.Contains("Ready: socket", files["log.txt"], StringComparison.Ordinal);
        Assert.Contains("uffd-loop-0", files["threads.txt"], StringComparison.Ordinal);
        Assert.Contains("anon_inode:[userfaultfd]", files["process.txt"], StringComparison.Ordinal);
        Assert.Contains("/proc/sys/vm/unprivileged_userfaultfd", files["kernel.txt"], StringComparison.Ordinal);
        Assert.All(files, file => Assert.DoesNotContain("hush", file.Value, StringComparison.Ordinal));
    }

    private static void AssertRefused(ClientProcess client, DaemonProcess daemon)
    {
        using WireConnection refused = WireConnection.Open(client, daemon.SocketPath);
        ErrorMessage error = refused.Ask<ErrorMessage>(WireConnection.Hello(HelloFlags.WantDevice));
        Assert.Equal((uint)ErrorCode.ShuttingDown, (uint)error.Code);
        Assert.Contains("drained", error.Text, StringComparison.Ordinal);
    }

    private static async Task<string?> LastResultAsync(IAsyncEnumerable<JsonElement> lines)
    {
        string? result = null;
        await foreach (JsonElement line in lines)
            result = line.GetProperty("result").GetString();
        return result;
    }

    private static IEnumerable<string> Keys(JsonElement document) => document.GetProperty("errors").EnumerateArray().Select(error => error.GetProperty("key").GetString()!);

    private static IEnumerable<string> DocumentedFiles() =>
        File.ReadLines(Path.Combine(NativeProgram.RepositoryRoot, "docs", "CONTROL-API.md"))
            .SkipWhile(line => !line.StartsWith("| file | contents", StringComparison.Ordinal)).Skip(2)
            .TakeWhile(line => line.StartsWith("| `", StringComparison.Ordinal))
            .SelectMany(line => line.Split('|')[1].Split(',').Select(name => name.Trim(' ', '`')));

    private static async Task<Dictionary<string, string>> BundleAsync(ControlClient control)
    {
        using HttpResponseMessage response = await control.SendAsync("GET /v1/bundle", body: null);
        Assert.Equal((HttpStatusCode.OK, "application/gzip"), (response.StatusCode, response.Content.Headers.ContentType?.MediaType));
        string directory = response.Content.Headers.ContentDisposition!.FileName!.Trim('"').Replace(".tar.gz", "/", StringComparison.Ordinal);
        await using GZipStream plain = new(await response.Content.ReadAsStreamAsync(), CompressionMode.Decompress);
        await using TarReader tar = new(plain);
        Dictionary<string, string> files = [];
        while (await tar.GetNextEntryAsync() is { } entry)
        {
            Assert.StartsWith(directory, entry.Name, StringComparison.Ordinal);
            using StreamReader reader = new(entry.DataStream!, Encoding.UTF8);
            files.Add(entry.Name[directory.Length..], await reader.ReadToEndAsync());
        }

        return files;
    }
}
