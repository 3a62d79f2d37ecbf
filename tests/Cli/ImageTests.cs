using System.Text.Json.Nodes;
using UffdManager.Control;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>Images: what is sent, and how warming ends.</summary>
public sealed class ImageTests : IDisposable
{
    private const string Warm = "POST /v1/images/clean/warm";

    private readonly FakeControl _control = FakeManager.Start();

    public void Dispose() => _control.Dispose();

    [Fact]
    public async Task Image_is_added_with_an_absolute_path()
    {
        Uffdctl command = await Uffdctl.RunAsync(_control, "image", "add", "new", "--file", "memory", "--base", "clean", "--page-size", "2M", "--direct");
        Assert.Equal(0, command.ExitCode);
        JsonNode sent = JsonNode.Parse(Assert.Single(_control.Requests).Body)!;
        Assert.Matches("^/(.*/)?memory$", (string?)sent["file"]);
        Assert.Equal(("new", "clean", 2 << 20, true), ((string?)sent["name"], (string?)sent["base"], (int?)sent["pageBytes"], (bool?)sent["direct"]));
    }

    [Theory]
    [InlineData("image add x", "--file")]
    [InlineData("image add x --file /f --page-size 8K", "neither 4K nor 2M")]
    [InlineData("image warm clean --range 5", "START-END")]
    [InlineData("image warm clean --range 2M-1M", "START-END")]
    [InlineData("image warm clean --range 1X-", "START-END")]
    public async Task Mistake_on_the_line_is_told_before_anything_is_sent(string line, string text)
    {
        Uffdctl command = await Uffdctl.RunAsync(_control, line.Split(' '));
        Assert.Equal(64, command.ExitCode);
        Assert.Contains(text, command.Error, StringComparison.Ordinal);
        Assert.Empty(_control.Requests);
    }

    [Fact]
    public async Task Files_that_cannot_be_read_and_stores_that_are_silent_are_told()
    {
        _control.Answer("GET /v1/images", Samples.Images with { Problems = ["/var/lib/x.json is \u001b[1mno image"] }, ControlJson.Default.ImageListDto);
        Uffdctl list = await Uffdctl.RunAsync(_control, "image", "list");
        Assert.Equal(0, list.ExitCode);
        Assert.Contains("/var/lib/x.json is ", list.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("\u001b", list.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("x.json", list.Output, StringComparison.Ordinal);

        _control.Answer("GET /v1/images/clean", Samples.Images.Images[1] with { WorkingSetsProblem = "tenant vms does not answer" }, ControlJson.Default.ImageDto);
        Assert.Matches("Not known: +tenant vms does not answer", (await Uffdctl.RunAsync(_control, "image", "show", "clean")).Output);
        _control.Answer("GET /v1/working-sets", Samples.WorkingSets with { WorkingSets = [], Problem = "tenant vms does not answer" }, ControlJson.Default.WorkingSetListDto);
        Uffdctl show = await Uffdctl.RunAsync(_control, "workingset", "show", "image:clean");
        Assert.Equal((69, "uffdctl: tenant vms does not answer\n"), (show.ExitCode, show.Error));
    }

    [Fact]
    public async Task Image_is_removed()
    {
        _control.AnswerText("DELETE /v1/images/clean", "", 204);
        Uffdctl command = await Uffdctl.RunAsync(_control, "image", "remove", "clean");
        Assert.Equal((0, "image clean: removed; its files are untouched\n"), (command.ExitCode, command.Output));
    }

    [Theory]
    [InlineData("0-256MiB", "?offset=0&length=268435456")]
    [InlineData("1G-", "?offset=1073741824")]
    [InlineData("4096-8192", "?offset=4096&length=4096")]
    public async Task Range_is_sent_as_offset_and_length(string range, string query)
    {
        _control.AnswerStream(Warm).Write(Samples.Warming(64 << 20, "warm"), ControlJson.Default.ImageWarmingDto).End();
        Uffdctl command = await Uffdctl.RunAsync(_control, "image", "warm", "clean", "--range", range);
        Assert.Equal((0, "Warm: 64MiB in 1.5s, 64MiB of the image are cached\n"), (command.ExitCode, command.Output));
        Assert.Equal($"/v1/images/clean/warm{query}", Assert.Single(_control.Requests).Target);
    }

    [Theory]
    [InlineData("full", 75, "the cache is full after 32MiB of 64MiB")]
    [InlineData("stopping", 75, "the manager stops")]
    [InlineData("failed", 71, "EIO")]
    public async Task Warming_exits_by_how_it_ended(string result, int code, string text)
    {
        _control.AnswerStream(Warm).Write(Samples.Warming(0), ControlJson.Default.ImageWarmingDto).Write(Samples.Warming(32 << 20, result, "EIO"), ControlJson.Default.ImageWarmingDto).End();
        Uffdctl command = await Uffdctl.RunAsync(_control, "image", "warm", "clean");
        Assert.Equal(code, command.ExitCode);
        Assert.Contains(text, command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Manager_that_dies_while_it_warms_exits_69()
    {
        _control.AnswerStream(Warm).Write(Samples.Warming(0), ControlJson.Default.ImageWarmingDto).End();
        Assert.Equal(69, (await Uffdctl.RunAsync(_control, "image", "warm", "clean")).ExitCode);
    }

    [Fact]
    public async Task Documents_of_warming_are_one_a_line()
    {
        _control.AnswerStream(Warm).Write(Samples.Warming(0), ControlJson.Default.ImageWarmingDto).Write(Samples.Warming(64 << 20, "warm"), ControlJson.Default.ImageWarmingDto).End();
        Uffdctl command = await Uffdctl.RunAsync(_control, "image", "warm", "clean", "--json");
        Assert.Equal([false, true], command.Output.TrimEnd('\n').Split('\n').Select(line => (bool)JsonNode.Parse(line)!["finished"]!));
    }
}
