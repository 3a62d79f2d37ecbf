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
        await using ControlledSession it = await ControlledSession.StartAsync();
        ulong at = it.MapRegistered(16 * PageSize);
        string tracking = $"/v1/sessions/{it.Id}/tracking";
        await it.Control.AskAsync($"GET {tracking}", HttpStatusCode.Conflict);
        await it.Control.AskAsync($"GET {tracking}/pages", HttpStatusCode.Conflict);
        JsonElement started = await it.Control.AskAsync($"POST {tracking}", HttpStatusCode.Created);
        s_document.Check("Tracking", started);
        Assert.Equal((long)(16 * PageSize), started.GetProperty("trackedBytes").GetInt64());
        await it.Control.AskAsync($"POST {tracking}", HttpStatusCode.Conflict);
        JsonElement session = await it.Control.AskAsync($"GET /v1/sessions/{it.Id}");
        s_document.Check("Session", session);
        Assert.Equal(started.GetProperty("since").GetString(), session.GetProperty("trackedSince").GetString());
        JsonElement region = (await it.Control.AskAsync($"GET /v1/sessions/{it.Id}/regions")).GetProperty("regions")[0];
        Assert.Contains("tracked", region.GetProperty("flags").EnumerateArray().Select(flag => flag.GetString()));

        it.Client.WriteByte(at, 1);
        it.Client.WriteByte(at + PageSize, 1);
        it.Client.WriteByte(at + (4 * PageSize), 1);
        it.Client.ReadByte(at + (8 * PageSize));
        for (int round = 0; round < 2; round++)
        {
            JsonElement first = await it.Control.AskAsync($"{(round == 0 ? "GET" : "POST")} {tracking}/pages?limit=1");
            s_document.Check("DirtyPages", first);
            Assert.Equal([(at, 2 * PageSize)], RunsOf(first));
            JsonElement second = await it.Control.AskAsync($"{(round == 0 ? "GET" : "POST")} {tracking}/pages?limit=1&after={first.GetProperty("next").GetString()}");
            Assert.Equal([(at + (4 * PageSize), PageSize)], RunsOf(second));
            Assert.Null(second.GetProperty("next").GetString());
        }

        Assert.Empty(RunsOf(await it.Control.AskAsync($"GET {tracking}/pages")));
        await it.Control.AskAsync($"GET {tracking}/pages?after=nowhere", HttpStatusCode.BadRequest);
        s_document.Check("Tracking", await it.Control.AskAsync($"GET {tracking}"));
        using HttpResponseMessage stopped = await it.Control.SendAsync($"DELETE {tracking}", body: null);
        Assert.Equal(HttpStatusCode.NoContent, stopped.StatusCode);
        await it.Control.AskAsync($"DELETE {tracking}", HttpStatusCode.Conflict);
        Assert.Null((await it.Control.AskAsync($"GET /v1/sessions/{it.Id}")).GetProperty("trackedSince").GetString());
        await it.Control.AskAsync("POST /v1/sessions/999999/tracking", HttpStatusCode.NotFound);
        await it.Daemon.WaitForLogAsync($"Changed pages of session {it.Id} of pid {it.Client.Pid} are not noted any more, for uid 0");
    }

    private static IEnumerable<(ulong Start, ulong Length)> RunsOf(JsonElement pages) => pages.GetProperty("runs").EnumerateArray()
        .Select(run => (Convert.ToUInt64(run.GetProperty("start").GetString(), 16), (ulong)run.GetProperty("length").GetInt64()));
}
