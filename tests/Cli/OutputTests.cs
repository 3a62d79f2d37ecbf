using System.Text.Json.Nodes;
using UffdManager.Control;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>What people read and what programs read.</summary>
public sealed class OutputTests
{
    public static TheoryData<string, string> Pictures { get; } = new()
    {
        { "status", "status" },
        { "session-list", "session list" },
        { "session-show", "session show 2" },
        { "session-track-show", "session track show 2" },
        { "session-snapshot-show", "session snapshot 2 --show" },
        { "region-list", "region list" },
        { "region-show", "region show 1 0x7f0000000000 --cells 128" },
        { "tenant-list", "tenant list" },
        { "tenant-show", "tenant show default" },
        { "policy-list", "policy list" },
        { "policy-show", "policy show image" },
        { "image-list", "image list" },
        { "image-show", "image show warm-python" },
        { "image-show", "image add warm-python --file /srv/images/warm-python.diff --base clean --direct" },
        { "workingset-list", "workingset list" },
        { "workingset-show", "workingset show image:warm-python" },
        { "snapshot-list", "snapshot list" },
        { "snapshot-show", "snapshot show web" },
        { "config-show", "config show" },
        { "config-show-sources", "config show --sources" },
        { "loglevel", "loglevel" },
        { "reload", "reload" },
    };

    public static TheoryData<string, string> Documents { get; } = new()
    {
        { "status", "GET /v1/status" },
        { "session list", "GET /v1/sessions" },
        { "session show 2", "GET /v1/sessions/2" },
        { "session track show 2", "GET /v1/sessions/2/tracking" },
        { "session snapshot 2 --show", "GET /v1/sessions/2/snapshot" },
        { "region list", "GET /v1/regions" },
        { "region list --session 2", "GET /v1/sessions/2/regions" },
        { "region show 1 0x7f0000000000", "GET /v1/sessions/1/regions/0x7f0000000000/map" },
        { "tenant list", "GET /v1/tenants" },
        { "tenant show default", "GET /v1/tenants/default" },
        { "policy list", "GET /v1/policies" },
        { "policy show image", "GET /v1/policies/image" },
        { "image list", "GET /v1/images" },
        { "image show warm-python", "GET /v1/images/warm-python" },
        { "image add warm-python --file /f", "POST /v1/images" },
        { "workingset list", "GET /v1/working-sets" },
        { "workingset show /srv/other.mem", "GET /v1/working-sets" },
        { "snapshot list", "GET /v1/snapshots" },
        { "snapshot show web", "GET /v1/snapshots/web" },
        { "snapshot stop web", "DELETE /v1/snapshots/web" },
        { "config check", "POST /v1/config/check" },
        { "config show", "GET /v1/config" },
        { "loglevel", "GET /v1/loglevel" },
        { "loglevel debug", "PUT /v1/loglevel" },
        { "reload", "POST /v1/reload" },
    };

    [Theory]
    [MemberData(nameof(Pictures))]
    public async Task Output_for_people_is_the_reviewed_one_in_80_and_200_columns_and_in_a_pipe(string name, string line)
    {
        using FakeControl control = FakeManager.Start();
        string[] arguments = [.. line.Split(' '), "--socket", control.SocketPath];
        foreach ((string width, string suffix) in ((string, string)[])[("80", "-80"), ("200", "-200"), ("", "-pipe")])
        {
            Uffdctl command = await Uffdctl.RunAsync(arguments, new() { ["COLUMNS"] = width });
            Assert.Equal(0, command.ExitCode);

            // What is no table of many columns is the same everywhere.
            Golden.Verify(name + (name.EndsWith("-list", StringComparison.Ordinal) ? suffix : ""), command.Output);
            Assert.DoesNotContain('\e', command.Output);
        }
    }

    [Fact]
    public void Reviewed_outputs_are_compared_and_not_written() => Assert.False(Golden.IsWriting, "look at the differences in tests/Cli/Golden");

    [Theory]
    [InlineData("session list")]
    [InlineData("region list")]
    [InlineData("tenant list")]
    [InlineData("policy list")]
    [InlineData("image list")]
    [InlineData("top --once")]
    public async Task Tables_fit_into_the_width_they_are_given(string line)
    {
        using FakeControl control = FakeManager.Start();
        control.AnswerText("GET /v1/top", System.Text.Json.JsonSerializer.Serialize(Samples.Frame, ControlJson.Default.TopFrameDto) + "\n");
        foreach (int width in (int[])[60, 80, 100, 132, 200])
        {
            Uffdctl command = await Uffdctl.RunAsync([.. line.Split(' '), "--socket", control.SocketPath], new() { ["COLUMNS"] = $"{width}" });
            Assert.Equal(0, command.ExitCode);
            Assert.All(command.Output.Split('\n'), text => Assert.InRange(UffdManager.Cli.Output.Text.Width(text), 0, width));
        }
    }

    [Theory]
    [InlineData("session list")]
    [InlineData("region list")]
    [InlineData("tenant list")]
    [InlineData("policy list")]
    [InlineData("image list")]
    public async Task Every_line_of_a_table_in_a_pipe_has_as_many_words_as_its_header(string line)
    {
        using FakeControl control = FakeManager.Start();
        control.Answer(
            "GET /v1/sessions", Samples.Sessions with { Sessions = [.. Samples.Sessions.Sessions.Select(session => session with { Label = "" })] },
            ControlJson.Default.SessionListDto);
        Uffdctl command = await Uffdctl.RunAsync(control, line.Split(' '));
        int[] words = [.. command.Output.TrimEnd('\n').Split('\n').Select(text => text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length)];
        Assert.True(words.Length > 1);
        Assert.Single(words.Distinct());
    }

    [Theory]
    [MemberData(nameof(Documents))]
    public async Task Document_for_programs_is_the_one_that_the_manager_sent(string line, string resource)
    {
        using FakeControl control = FakeManager.Start();
        string sent = await ReadAsync(control, resource);

        // A field of a manager that is newer than this program is handed on.
        JsonNode newer = JsonNode.Parse(sent)!;
        newer["brandNew"] = 18446744073709551615UL;
        control.AnswerText(resource, newer.ToJsonString());
        Uffdctl command = await Uffdctl.RunAsync(control, [.. line.Split(' '), "--json"]);
        Assert.Equal(0, command.ExitCode);
        Assert.True(JsonNode.DeepEquals(newer, JsonNode.Parse(command.Output)), command.Output);
        Assert.Contains("\"brandNew\": 18446744073709551615", command.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Names_that_others_chose_cannot_write_on_the_screen()
    {
        using FakeControl control = FakeManager.Start();
        SessionDto hostile = Samples.Session(1) with { Command = "\u001b]0;owned\u0007\nroot", Label = "a\u202Eb\u009b2J", Policy = "" };
        control.Answer("GET /v1/sessions", new SessionListDto { Sessions = [hostile], Next = null }, ControlJson.Default.SessionListDto);
        Uffdctl command = await Uffdctl.RunAsync(control, "session", "list");
        string[] lines = command.Output.TrimEnd('\n').Split('\n');
        Assert.Equal(2, lines.Length);
        Assert.DoesNotContain(command.Output, c => c != '\n' && (char.IsControl(c) || c == '\u202E'));
        Assert.Contains("]0;owned", lines[1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Lists_of_several_pages_are_put_together(bool json)
    {
        using FakeControl control = new FakeControl().AnswerBy("GET /v1/sessions", request =>
        {
            long after = request.Target.Contains("after=2", StringComparison.Ordinal) ? 2 : request.Target.Contains("after=4", StringComparison.Ordinal) ? 4 : 0;
            SessionListDto page = new() { Sessions = [Samples.Session(after + 1), Samples.Session(after + 2)], Next = after < 4 ? after + 2 : null };
            return System.Text.Json.JsonSerializer.Serialize(page, ControlJson.Default.SessionListDto);
        });
        Uffdctl command = await Uffdctl.RunAsync(control, ["session", "list", "--tenant", "t", "--state", "serving", "--pid", "7", .. json ? ["--json"] : Array.Empty<string>()]);
        Assert.Equal(0, command.ExitCode);
        Assert.Equal(3, control.Requests.Count);
        Assert.All(control.Requests, request => Assert.StartsWith("/v1/sessions?tenant=t&state=serving&pid=7&limit=1000", request.Target, StringComparison.Ordinal));
        if (json)
            Assert.Equal([1, 2, 3, 4, 5, 6], JsonNode.Parse(command.Output)!["sessions"]!.AsArray().Select(session => (long)session!["id"]!));
        else
            Assert.Equal(7, command.Output.TrimEnd('\n').Split('\n').Length);
    }

    [Fact]
    public async Task List_that_leads_back_to_itself_exits_76()
    {
        using FakeControl control = new FakeControl().Answer(
            "GET /v1/sessions", Samples.Sessions with { Next = 5 }, ControlJson.Default.SessionListDto);
        Assert.Equal(76, (await Uffdctl.RunAsync(control, "session", "list")).ExitCode);
    }

    [Fact]
    public async Task Map_that_contradicts_itself_exits_76()
    {
        using FakeControl control = new FakeControl().Answer(
            "GET /v1/sessions/1/regions/0x1000/map", Samples.Map with { Dirty = [1, 2] }, ControlJson.Default.RegionMapDto);
        Assert.Equal(76, (await Uffdctl.RunAsync(control, "region", "show", "1", "4096")).ExitCode);
    }

    [Fact]
    public async Task Configuration_with_errors_exits_78_and_lists_them_all()
    {
        using FakeControl control = new FakeControl().Answer("POST /v1/config/check", Samples.InvalidCheck, ControlJson.Default.ConfigurationCheckDto);
        Uffdctl command = await Uffdctl.RunAsync(control, "config", "check");
        Assert.Equal(78, command.ExitCode);
        Assert.Empty(command.Output);
        Golden.Verify("config-check-errors", command.Error);

        Uffdctl document = await Uffdctl.RunAsync(control, "config", "check", "--json");
        Assert.Equal(78, document.ExitCode);
        Assert.False((bool)JsonNode.Parse(document.Output)!["valid"]!);
    }

    [Fact]
    public async Task Valid_configuration_exits_0_and_warnings_go_to_standard_error()
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(control, "config", "check");
        Assert.Equal(0, command.ExitCode);
        Assert.Equal("The configuration is valid: /etc/uffd-manager/config.json\n", command.Output);
        Assert.Equal("uffdctl: warning: listen.mode 0666 lets every user connect\nuffdctl: warning: changes of engine need a restart of the manager\n", command.Error);
    }

    [Fact]
    public async Task Reload_of_a_configuration_with_errors_exits_78_and_lists_them_all()
    {
        ProblemDto problem = new()
        {
            Type = "urn:uffd-manager:problem:configuration_invalid",
            Title = "x",
            Status = 422,
            Detail = "The configuration has 2 errors; the one in use stays.",
            Errors = Samples.InvalidCheck.Errors,
        };
        using FakeControl control = new FakeControl().Answer("POST /v1/reload", problem, ControlJson.Default.ProblemDto, 422);
        Uffdctl command = await Uffdctl.RunAsync(control, "reload");
        Assert.Equal(78, command.ExitCode);
        Assert.Equal(
            "uffdctl: The configuration has 2 errors; the one in use stays\n"
            + "uffdctl: metrics.port: \"-1\" is not allowed (from /etc/uffd-manager/config.json)\nuffdctl: tenants: none is configured\n",
            command.Error);
    }

    [Theory]
    [InlineData("loglevel debug", """{"level":"debug","categories":null}""")]
    [InlineData("loglevel --category A.B=trace --category C=", """{"level":null,"categories":{"A.B":"trace","C":null}}""")]
    [InlineData("loglevel none --category X=error", """{"level":"none","categories":{"X":"error"}}""")]
    public async Task Log_level_is_changed_by_what_was_said(string line, string body)
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(control, line.Split(' '));
        Assert.Equal(0, command.ExitCode);
        FakeRequest request = Assert.Single(control.Requests);
        Assert.Equal("PUT", request.Method);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(body), JsonNode.Parse(request.Body)), request.Body);
    }

    private static async Task<string> ReadAsync(FakeControl control, string resource)
    {
        using HttpClient http = new(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancel) =>
            {
                System.Net.Sockets.Socket socket = new(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
                await socket.ConnectAsync(new System.Net.Sockets.UnixDomainSocketEndPoint(control.SocketPath), cancel);
                return new System.Net.Sockets.NetworkStream(socket, ownsSocket: true);
            },
        });
        string[] words = resource.Split(' ');
        using HttpRequestMessage request = new(new HttpMethod(words[0]), new Uri("http://localhost" + words[1]));
        using HttpResponseMessage response = await http.SendAsync(request);
        return await response.Content.ReadAsStringAsync();
    }
}
