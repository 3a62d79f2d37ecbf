using System.Net;
using System.Text.Json;
using UffdManager.EndToEnd.Tests;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Working sets of images and files of a real daemon: shown and forgotten.</summary>
public sealed class WorkingSetControlTests : ImageControlTest
{
    [Fact]
    public async Task Working_sets_of_images_and_files_are_shown_and_forgotten()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration.Replace(
            "\"zero\": { }", "\"zero\": { \"source\": { \"kind\": \"client\" }, \"prefetch\": { \"mode\": \"replay\" } }", StringComparison.Ordinal)
            .Replace("\"images\":", $"\"sourceDirectories\": [\"{Temporary.Path}\"], \"images\":", StringComparison.Ordinal));
        using ControlClient control = new(daemon);
        string file = Write("plain", 5);
        await control.AskAsync("POST /v1/images", HttpStatusCode.Created, Addition("clean", Write("clean", 1)));
        foreach (string source in new[] { "image:clean", file })
        {
            string subject = source == file ? $"file={Uri.EscapeDataString(file)}" : "image=clean";
            for (int run = 0; run < 2; run++)
            {
                using ClientProcess clone = ClientProcess.Start();
                using WireConnection connection = WireConnection.Attach(clone, daemon.SocketPath).Connection;
                ulong at = clone.Map("anon", Pages * PageSize).Address;
                connection.Ask<RegisteredMessage>(WireConnection.Register(at, Pages * PageSize, source: source));
                Assert.True(clone.IsFilledWith(at, Pages * PageSize, source == file ? (byte)5 : (byte)1));
                clone.Kill();
                await AwaitRunsAsync(control, subject, run + 1);
            }

            JsonElement list = await control.AskAsync($"GET /v1/working-sets?{subject}");
            Document.Check("WorkingSetList", list);
            JsonElement set = Assert.Single(list.GetProperty("workingSets").EnumerateArray());
            Assert.Equal(
                ("everybody", (long)Pages * PageSize, "replay", 2),
                (set.GetProperty("tenant").GetString(), set.GetProperty("knownBytes").GetInt64(), set.GetProperty("nextRun").GetString(), set.GetProperty("runs").GetInt32()));

            // Whether the second run was over before its replay began is a matter of luck.
            Assert.InRange(set.GetProperty("outcomes").GetProperty("recorded").GetInt32(), 1, 2);
            Assert.Equal(2, set.GetProperty("outcomes").EnumerateObject().Sum(outcome => outcome.Value.GetInt32()));
        }

        JsonElement image = await control.AskAsync("GET /v1/images/clean");
        Document.Check("Image", image);
        Assert.Equal(2, Assert.Single(image.GetProperty("workingSets").EnumerateArray()).GetProperty("runs").GetInt32());
        Assert.Equal(2, (await control.AskAsync("GET /v1/working-sets?tenant=everybody")).GetProperty("workingSets").GetArrayLength());
        Assert.Equal(0, (await control.AskAsync("GET /v1/working-sets?tenant=nobody")).GetProperty("workingSets").GetArrayLength());

        foreach (string subject in new[] { "image=clean", $"file={Uri.EscapeDataString(file)}" })
        {
            using HttpResponseMessage forgotten = await control.SendAsync($"DELETE /v1/working-sets?{subject}", body: null);
            Assert.Equal(HttpStatusCode.NoContent, forgotten.StatusCode);
            Assert.Equal(0, (await control.AskAsync($"GET /v1/working-sets?{subject}")).GetProperty("workingSets").GetArrayLength());
            await control.AskAsync($"DELETE /v1/working-sets?{subject}", HttpStatusCode.NotFound);
        }

        Assert.Empty(Directory.GetFiles(Temporary.Path, "*.trace"));
        Assert.Equal(0, (await control.AskAsync("GET /v1/images/clean")).GetProperty("workingSets").GetArrayLength());
        await daemon.WaitForLogAsync("The working set of image clean was forgotten for every tenant");
    }

    [Theory]
    [InlineData("DELETE /v1/working-sets", HttpStatusCode.BadRequest)]
    [InlineData("DELETE /v1/working-sets?image=a&file=/b", HttpStatusCode.BadRequest)]
    [InlineData("GET /v1/working-sets?file=relative", HttpStatusCode.BadRequest)]
    [InlineData("GET /v1/working-sets?file=/dev/null", HttpStatusCode.BadRequest)]
    [InlineData("GET /v1/working-sets?file=/there/is/none", HttpStatusCode.NotFound)]
    [InlineData("GET /v1/working-sets?image=none", HttpStatusCode.NotFound)]
    public async Task Working_set_of_what_is_no_source_is_refused(string request, HttpStatusCode status)
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        using ControlClient control = new(daemon);
        await control.AskAsync(request, status);
    }

    private static async Task AwaitRunsAsync(ControlClient control, string subject, int runs)
    {
        using CancellationTokenSource patience = new(TimeSpan.FromSeconds(30));
        using PeriodicTimer pace = new(TimeSpan.FromMilliseconds(20));
        while (true)
        {
            JsonElement sets = (await control.AskAsync($"GET /v1/working-sets?{subject}")).GetProperty("workingSets");
            if (sets.EnumerateArray().Any(set => set.GetProperty("runs").GetInt32() >= runs && set.GetProperty("liveRuns").GetInt32() == 0))
                return;
            await pace.WaitForNextTickAsync(patience.Token);
        }
    }
}
