using System.Net;
using System.Text.Json;
using UffdManager.EndToEnd.Tests;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Every resource of the control API, against a real daemon with a real client: the documents are as docs/CONTROL-API.md says, and the numbers are right.</summary>
public sealed class ControlResourceTests
{
    private const ulong PageSize = 4096;

    private static readonly ControlApiDocument s_document = ControlApiDocument.Read();

    [Fact]
    public async Task Resources_that_only_tell_are_as_documented()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        JsonElement index = await control.AskAsync("GET /v1");
        s_document.Check("Index", index);
        Assert.Equal("admin", index.GetProperty("access").GetString());
        Assert.Equal(s_document.Resources.Order(StringComparer.Ordinal), index.GetProperty("resources").EnumerateArray().Select(resource => resource.GetString()!).Order(StringComparer.Ordinal));

        JsonElement status = await control.AskAsync("GET /v1/status");
        s_document.Check("Status", status);
        Assert.Equal((daemon.Pid, true, "ready"), (status.GetProperty("pid").GetInt32(), status.GetProperty("ready").GetBoolean(), status.GetProperty("phase").GetString()));
        Assert.Equal(["native", "control", "metrics"], status.GetProperty("sockets").EnumerateArray().Select(socket => socket.GetProperty("name").GetString()));
        Assert.Equal([daemon.SocketPath, control.SocketPath, daemon.MetricsUri.ToString()], status.GetProperty("sockets").EnumerateArray().Select(socket => socket.GetProperty("address").GetString()));

        JsonElement tenants = await control.AskAsync("GET /v1/tenants");
        s_document.Check("TenantList", tenants);
        s_document.Check("Tenant", await control.AskAsync("GET /v1/tenants/everybody"));
        JsonElement policies = await control.AskAsync("GET /v1/policies");
        s_document.Check("PolicyList", policies);
        Assert.Equal(["file", "poison", "zero", "zero-around"], policies.GetProperty("policies").EnumerateArray().Select(policy => policy.GetProperty("name").GetString()));
        JsonElement poison = await control.AskAsync("GET /v1/policies/poison");
        s_document.Check("Policy", poison);
        Assert.Equal(("client", "poison", 0.5), (poison.GetProperty("source").GetProperty("kind").GetString(), poison.GetProperty("onUnavailable").GetString(), poison.GetProperty("deadlineSeconds").GetDouble()));

        JsonElement configuration = await control.AskAsync("GET /v1/config?sources=true");
        s_document.Check("Configuration", configuration);
        Assert.Equal("default", configuration.GetProperty("settings").GetProperty("control").GetProperty("mode").GetProperty("source").GetString());
        s_document.Check("Configuration", await control.AskAsync("GET /v1/config"));
        s_document.Check("LogLevels", await control.AskAsync("GET /v1/loglevel"));
        s_document.Check("LatencyHistory", await control.AskAsync("GET /v1/latency?tenant=everybody"));
        s_document.Check("RegionList", await control.AskAsync("GET /v1/regions"));
        s_document.Check("SessionList", await control.AskAsync("GET /v1/sessions"));
    }

    [Fact]
    public async Task Session_with_its_regions_and_pages_is_told_as_it_is()
    {
        await using ControlledSession it = await ControlledSession.StartAsync();
        ulong address = it.MapRegistered(64 * PageSize);
        Assert.True(it.Client.IsFilledWith(address, 8 * PageSize, 0));
        it.Client.Run($"madvise {address} {PageSize} 4");

        JsonElement session = await it.Control.AskAsync($"GET /v1/sessions/{it.Id}");
        s_document.Check("Session", session);
        Assert.Equal((it.Client.Pid, "everybody", "zero", "serving", "test"), (
            session.GetProperty("pid").GetInt32(),
            session.GetProperty("tenant").GetString(),
            session.GetProperty("policy").GetString(),
            session.GetProperty("state").GetString(),
            session.GetProperty("label").GetString()));
        Assert.Equal((1, 64 * (long)PageSize, 8), (session.GetProperty("regions").GetInt32(), session.GetProperty("registeredBytes").GetInt64(), session.GetProperty("faults").GetInt64()));
        Assert.Equal(8, session.GetProperty("latency").GetProperty("count").GetInt64());
        Assert.InRange(session.GetProperty("latency").GetProperty("p50Nanoseconds").GetInt64(), 100, 10_000_000_000);
        Assert.StartsWith("uffd-client", session.GetProperty("command").GetString(), StringComparison.Ordinal);

        JsonElement regions = await it.Control.AskAsync($"GET /v1/sessions/{it.Id}/regions");
        s_document.Check("RegionList", regions);
        JsonElement region = regions.GetProperty("regions").EnumerateArray().Single();
        Assert.Equal(($"0x{address:x}", "zero"), (region.GetProperty("start").GetString(), region.GetProperty("source").GetString()));

        JsonElement map = await it.Control.AskAsync($"GET /v1/sessions/{it.Id}/regions/0x{address + PageSize:x}/map?cells=16");
        s_document.Check("RegionMap", map);
        Assert.Equal((16, 4, 64), (map.GetProperty("cells").GetInt32(), map.GetProperty("pagesPerCell").GetInt32(), map.GetProperty("pages").GetInt32()));
        Assert.Equal([3, 4, 0], Cells(map, "present").Take(3));
        Assert.Equal(57, Cells(map, "absent").Sum());

        JsonElement tenant = await it.Control.AskAsync("GET /v1/tenants/everybody");
        Assert.Equal((1, 8, 8), (
            tenant.GetProperty("usage").GetProperty("sessions").GetInt32(),
            tenant.GetProperty("counters").GetProperty("faults").GetInt64(),
            tenant.GetProperty("counters").GetProperty("faultsByKind").GetProperty("missing").GetProperty("zeroed").GetInt64()));
        Assert.Equal(8, (await it.Control.AskAsync("GET /v1/latency")).GetProperty("slots").EnumerateArray().Sum(slot => slot.GetProperty("counts").EnumerateArray().Sum(count => count.GetInt64())));
    }

    [Fact]
    public async Task Top_gives_as_many_frames_as_were_asked_for()
    {
        await using ControlledSession it = await ControlledSession.StartAsync();
        int frames = 0;
        await foreach (JsonElement frame in it.Control.StreamAsync("GET /v1/top?interval=100ms&count=4"))
        {
            s_document.Check("TopFrame", frame);
            JsonElement session = Assert.Single(frame.GetProperty("sessions").EnumerateArray());
            Assert.Equal(it.Id, session.GetProperty("id").GetInt64());
            if (++frames == 4)
                break;
        }

        Assert.Equal(4, frames);
    }

    [Fact]
    public async Task Top_measures_intervals()
    {
        await using ControlledSession it = await ControlledSession.StartAsync();
        ulong address = it.MapRegistered(1024 * PageSize);
        double faults = 0;
        bool isTouched = false;

        // Frames come in their own time, however slow this test is: it reads on until it has seen its faults.
        await foreach (JsonElement frame in it.Control.StreamAsync("GET /v1/top?interval=100ms&count=1000"))
        {
            JsonElement session = Assert.Single(frame.GetProperty("sessions").EnumerateArray());
            double inFrame = session.GetProperty("faultsPerSecond").GetDouble() * frame.GetProperty("intervalSeconds").GetDouble();
            faults += inFrame;
            if (inFrame > 0.5)
                Assert.InRange(session.GetProperty("p99Nanoseconds").GetInt64(), session.GetProperty("p50Nanoseconds").GetInt64(), long.MaxValue);
            if (!isTouched)
                Assert.True(it.Client.IsFilledWith(address, 10 * PageSize, 0));
            isTouched = true;
            if (faults > 9.5)
                break;
        }

        // Rates are rounded to a tenth.
        Assert.InRange(faults, 9.5, 10.5);
    }

    [Fact]
    public async Task Many_sessions_come_in_pages_each_once_and_in_order()
    {
        const int Count = 23;
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        using ClientProcess client = ClientProcess.Start();
        List<WireConnection> connections = [];
        try
        {
            for (int i = 0; i < Count; i++)
            {
                WireConnection connection = WireConnection.Attach(client, daemon.SocketPath).Connection;
                connections.Add(connection);
                ulong address = client.Map("anon", 2 * PageSize).Address;
                connection.Ask<RegisteredMessage>(WireConnection.Register(address, PageSize));
                connection.Ask<RegisteredMessage>(WireConnection.Register(address + PageSize, PageSize, policy: "zero-around"));
            }

            List<long> ids = [];
            string after = "";
            for (JsonElement page; ; after = $"&after={page.GetProperty("next").GetInt64()}")
            {
                page = await control.AskAsync($"GET /v1/sessions?limit=10&tenant=EVERYBODY&state=serving&pid={client.Pid}{after}");
                ids.AddRange(page.GetProperty("sessions").EnumerateArray().Select(session => session.GetProperty("id").GetInt64()));
                if (page.GetProperty("next").ValueKind == JsonValueKind.Null)
                    break;
            }

            Assert.Equal(Count, ids.Distinct().Count());
            Assert.Equal(ids.Order(), ids);

            List<(long, string)> regions = [];
            after = "";
            for (JsonElement page; ; after = $"&after={Uri.EscapeDataString(page.GetProperty("next").GetString()!)}")
            {
                page = await control.AskAsync($"GET /v1/regions?limit=7{after}");
                regions.AddRange(page.GetProperty("regions").EnumerateArray().Select(region => (region.GetProperty("session").GetInt64(), region.GetProperty("start").GetString()!)));
                if (page.GetProperty("next").ValueKind == JsonValueKind.Null)
                    break;
            }

            Assert.Equal(2 * Count, regions.Distinct().Count());
            Assert.Equal(regions.Count, regions.Distinct().Count());
            Assert.Empty((await control.AskAsync("GET /v1/sessions?tenant=nobody")).GetProperty("sessions").EnumerateArray());
        }
        finally
        {
            connections.ForEach(connection => connection.Dispose());
        }
    }

    [Fact]
    public async Task Request_that_makes_no_sense_is_told_why()
    {
        (string Request, HttpStatusCode Status, string Type)[] cases =
        [
            ("GET /v2/status", HttpStatusCode.NotFound, "not_found"),
            ("GET /v1/sessions/77", HttpStatusCode.NotFound, "not_found"),
            ("GET /v1/sessions/seven", HttpStatusCode.NotFound, "not_found"),
            ("DELETE /v1/sessions/77", HttpStatusCode.NotFound, "not_found"),
            ("GET /v1/tenants/nobody", HttpStatusCode.NotFound, "not_found"),
            ("GET /v1/latency?tenant=nobody", HttpStatusCode.NotFound, "not_found"),
            ("GET /v1/policies/nothing", HttpStatusCode.NotFound, "not_found"),
            ("GET /v1/sessions?limit=0", HttpStatusCode.BadRequest, "bad_request"),
            ("GET /v1/sessions?limit=1001", HttpStatusCode.BadRequest, "bad_request"),
            ("GET /v1/sessions?state=asleep", HttpStatusCode.BadRequest, "bad_request"),
            ("GET /v1/sessions?after=-1", HttpStatusCode.BadRequest, "bad_request"),
            ("GET /v1/sessions?tenant=a&tenant=b", HttpStatusCode.BadRequest, "bad_request"),
            ("GET /v1/sessions?tennant=a", HttpStatusCode.BadRequest, "bad_request"),
            ("GET /v1/regions?after=here", HttpStatusCode.BadRequest, "bad_request"),
            ("GET /v1/top?interval=1ms", HttpStatusCode.BadRequest, "bad_request"),
            ("GET /v1/config?sources=yes", HttpStatusCode.BadRequest, "bad_request"),
            ("PUT /v1/loglevel", HttpStatusCode.BadRequest, "bad_request"),
            ("PATCH /v1/status", HttpStatusCode.MethodNotAllowed, "method_not_allowed"),
            ("DELETE /v1/drain", HttpStatusCode.Conflict, "conflict"),
        ];
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        foreach ((string request, HttpStatusCode status, string type) in cases)
        {
            JsonElement problem = await control.AskAsync(request, status, request.StartsWith("PUT", StringComparison.Ordinal) ? """{ "level": "loud" }""" : null);
            s_document.Check("Problem", problem);
            Assert.Equal($"urn:uffd-manager:problem:{type}", problem.GetProperty("type").GetString());
            Assert.Equal((int)status, problem.GetProperty("status").GetInt32());
            Assert.NotEmpty(problem.GetProperty("remedy").GetString()!);
        }
    }

    private static IEnumerable<long> Cells(JsonElement map, string state) => map.GetProperty(state).EnumerateArray().Select(count => count.GetInt64());
}
