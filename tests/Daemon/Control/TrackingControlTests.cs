using System.Net;
using System.Text.Json;
using UffdManager.EndToEnd.Tests;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Changed pages by the control API, on a real daemon.</summary>
public sealed class TrackingControlTests
{
    private const ulong PageSize = 4096;

    private static readonly ControlApiDocument s_document = ControlApiDocument.Read();

    [Fact]
    public async Task Changed_pages_are_listed_in_parts_and_taken_once()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(client, daemon.SocketPath);
        using WireConnection held = connection;
        ulong at = client.Map("anon", 16 * PageSize).Address;
        connection.Ask<RegisteredMessage>(WireConnection.Register(at, 16 * PageSize));
        string tracking = $"/v1/sessions/{welcome.SessionId}/tracking";
        await control.AskAsync($"GET {tracking}", HttpStatusCode.Conflict);
        await control.AskAsync($"GET {tracking}/pages", HttpStatusCode.Conflict);
        JsonElement started = await control.AskAsync($"POST {tracking}", HttpStatusCode.Created);
        s_document.Check("Tracking", started);
        Assert.Equal((long)(16 * PageSize), started.GetProperty("trackedBytes").GetInt64());
        await control.AskAsync($"POST {tracking}", HttpStatusCode.Conflict);
        JsonElement region = (await control.AskAsync($"GET /v1/sessions/{welcome.SessionId}/regions")).GetProperty("regions")[0];
        Assert.Contains("tracked", region.GetProperty("flags").EnumerateArray().Select(flag => flag.GetString()));

        client.WriteByte(at, 1);
        client.WriteByte(at + PageSize, 1);
        client.WriteByte(at + (4 * PageSize), 1);
        client.ReadByte(at + (8 * PageSize));
        for (int round = 0; round < 2; round++)
        {
            JsonElement first = await control.AskAsync($"{(round == 0 ? "GET" : "POST")} {tracking}/pages?limit=1");
            s_document.Check("DirtyPages", first);
            Assert.Equal([(at, 2 * PageSize)], RunsOf(first));
            JsonElement second = await control.AskAsync($"{(round == 0 ? "GET" : "POST")} {tracking}/pages?limit=1&after={first.GetProperty("next").GetString()}");
            Assert.Equal([(at + (4 * PageSize), PageSize)], RunsOf(second));
            Assert.Null(second.GetProperty("next").GetString());
        }

        Assert.Empty(RunsOf(await control.AskAsync($"GET {tracking}/pages")));
        await control.AskAsync($"GET {tracking}/pages?after=nowhere", HttpStatusCode.BadRequest);
        s_document.Check("Tracking", await control.AskAsync($"GET {tracking}"));
        using HttpResponseMessage stopped = await control.SendAsync($"DELETE {tracking}", body: null);
        Assert.Equal(HttpStatusCode.NoContent, stopped.StatusCode);
        await control.AskAsync($"DELETE {tracking}", HttpStatusCode.Conflict);
        await control.AskAsync("POST /v1/sessions/999999/tracking", HttpStatusCode.NotFound);
        await daemon.WaitForLogAsync($"Changed pages of session {welcome.SessionId} of pid {client.Pid} are not noted any more, for uid 0");
    }

    private static IEnumerable<(ulong Start, ulong Length)> RunsOf(JsonElement pages) => pages.GetProperty("runs").EnumerateArray()
        .Select(run => (Convert.ToUInt64(run.GetProperty("start").GetString(), 16), (ulong)run.GetProperty("length").GetInt64()));
}
