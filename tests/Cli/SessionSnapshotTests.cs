using System.Text.Json.Nodes;
using UffdManager.Control;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>What is said of a snapshot of a session, and of its changed pages, to whoever did not begin it.</summary>
public sealed class SessionSnapshotTests
{
    [Theory]
    [InlineData("2", "--out says where the memory is written to")]
    [InlineData("2 --base image:web", "--out says where the memory is written to")]
    [InlineData("2 --out /f --cancel", "--show and --cancel stand alone")]
    [InlineData("2 --show --cancel", "--show and --cancel stand alone")]
    [InlineData("2 --show --base image:web", "--show and --cancel stand alone")]
    [InlineData("2 --cancel --buffer 1", "--show and --cancel stand alone")]
    [InlineData("--cancel", "ID")]
    public async Task Mistake_on_the_line_exits_64_says_which_and_asks_for_nothing(string line, string error)
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(control, ["session", "snapshot", .. line.Split(' ')]);
        Assert.Equal((64, ""), (command.ExitCode, command.Output));
        Assert.Contains(error, command.Error, StringComparison.OrdinalIgnoreCase);
        Assert.Empty(control.Requests);
    }

    [Fact]
    public async Task Cancel_asks_once_and_says_that_the_session_goes_on()
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(control, "session", "snapshot", "2", "--cancel");
        Assert.Equal((0, "session 2: the snapshot is cancelled; the session goes on\n", ""), (command.ExitCode, command.Output, command.Error));
        Assert.Equal("DELETE /v1/sessions/2/snapshot", Assert.Single(control.Requests).Resource);
        Uffdctl document = await Uffdctl.RunAsync(control, "session", "snapshot", "2", "--cancel", "--json");
        Assert.Equal("""{"session":2,"cancelled":true}""", JsonNode.Parse(document.Output)!.ToJsonString());
    }

    [Theory]
    [InlineData("session snapshot 2 --show", "GET /v1/sessions/2/snapshot", "'uffdctl session snapshot 2 --out FILE' takes one.")]
    [InlineData("session snapshot 2 --cancel", "DELETE /v1/sessions/2/snapshot", "'uffdctl session snapshot 2 --out FILE' takes one.")]
    [InlineData("session track show 2", "GET /v1/sessions/2/tracking", "'uffdctl session track start 2' begins it.")]
    public async Task Where_there_is_none_the_answer_is_no_with_what_begins_one(string line, string resource, string remedy)
    {
        using FakeControl control = new FakeControl().AnswerProblem(resource, 409, "conflict", "there is none", "POST makes one");
        Uffdctl command = await Uffdctl.RunAsync(control, line.Split(' '));
        Assert.Equal((1, "", $"uffdctl: there is none\n{remedy}\n"), (command.ExitCode, command.Output, command.Error));
        JsonNode document = JsonNode.Parse((await Uffdctl.RunAsync(control, [.. line.Split(' '), "--json"])).Output)!["error"]!;
        Assert.Equal((1, "conflict", "there is none", remedy), ((int)document["exitCode"]!, (string)document["problem"]!, (string)document["message"]!, (string)document["remedy"]!));
    }

    [Theory]
    [InlineData("session snapshot 2 --show", "GET /v1/sessions/2/snapshot")]
    [InlineData("session snapshot 2 --cancel", "DELETE /v1/sessions/2/snapshot")]
    [InlineData("session track show 2", "GET /v1/sessions/2/tracking")]
    public async Task Session_that_is_not_there_is_another_thing_than_one_that_has_none(string line, string resource)
    {
        using FakeControl control = new FakeControl().AnswerProblem(resource, 404, "not_found", "there is no session 2");
        Assert.Equal(66, (await Uffdctl.RunAsync(control, line.Split(' '))).ExitCode);
    }

    [Fact]
    public async Task Snapshot_before_its_instant_shows_nothing_of_what_comes_later()
    {
        using FakeControl control = new FakeControl().Answer(
            "GET /v1/sessions/2/snapshot",
            Samples.Progress with { TakenAt = null, TotalBytes = 0, DoneBytes = 0, WrittenBytes = 0, SavedPages = 0, HoldSeconds = 0, ThrottledSeconds = 0, ElapsedSeconds = 1 },
            ControlJson.Default.SnapshotProgressDto);
        Uffdctl command = await Uffdctl.RunAsync(control, "session", "snapshot", "2", "--show");
        Assert.Equal(
            "Session:    2\nImage:      /srv/live/2.mem\nAsked for:  1s ago\nInstant:    still to come: the memory is being protected\n", command.Output);
    }

    [Fact]
    public async Task Changes_that_the_kernel_notes_itself_are_told_so()
    {
        using FakeControl control = new FakeControl().Answer(
            "GET /v1/sessions/2/tracking", Samples.Tracking with { Asynchronous = true, UntrackedBytes = 0 }, ControlJson.Default.TrackingDto);
        Uffdctl command = await Uffdctl.RunAsync(control, "session", "track", "show", "2");
        Assert.Equal("Session:   2\nSince:     2026-01-31T12:30:00.000Z\nNoted by:  the kernel: no write faults for it\nTracked:   64MiB\n", command.Output);
    }
}
