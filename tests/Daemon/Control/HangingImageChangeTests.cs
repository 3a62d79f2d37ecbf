using System.Net;
using System.Text.Json;
using UffdManager.Daemon.Control;
using UffdManager.EndToEnd.Tests;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Files on a file system that does not answer, added as images to a real daemon: few threads wait for it, and nobody else does.</summary>
public sealed class HangingImageChangeTests : ImageControlTest
{
    [SkippableFact]
    public async Task Additions_that_hang_are_few_and_the_others_are_told_what_to_do()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();

        // Gone before the daemon: a thread that waits there cannot be killed.
        using HangingFiles files = HangingFiles.Mount();
        using ControlClient control = new(daemon);
        const int Refused = 12;
        List<Task<Answer>> hanging = [.. Enumerable.Range(0, ImageChanges.Limit + Refused).Select(i => AddAsync(control, $"hung-{i}", files.Hanging))];
        for (int i = 0; i < Refused; i++)
        {
            Answer busy = await TakeOneAsync(hanging);
            Assert.Equal((HttpStatusCode.TooManyRequests, "urn:uffd-manager:problem:busy"), (busy.Status, busy.Document.GetProperty("type").GetString()));
            Assert.Contains("does not answer", busy.Document.GetProperty("remedy").GetString(), StringComparison.Ordinal);
        }

        Assert.All(hanging, addition => Assert.False(addition.IsCompleted));
        await control.AskAsync("GET /v1/images");
        files.End();
        foreach (Answer failed in await Task.WhenAll(hanging))
            Assert.Equal((HttpStatusCode.BadGateway, "urn:uffd-manager:problem:kernel"), (failed.Status, failed.Document.GetProperty("type").GetString()));
        Assert.Equal(HttpStatusCode.Created, (await AddAsync(control, "well", Write("memory", 1))).Status);
    }

    [SkippableFact]
    public async Task Addition_that_hangs_keeps_nobody_from_adding_and_removing_what_lies_elsewhere()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();

        // Gone before the daemon: a thread that waits there cannot be killed.
        using HangingFiles files = HangingFiles.Mount();
        using ControlClient control = new(daemon);

        // Which of the two comes first is all the same: when the other one is refused it hangs.
        List<Task<Answer>> hanging = [AddAsync(control, "hung", files.Hanging), AddAsync(control, "hung", files.Hanging)];
        Answer second = await TakeOneAsync(hanging);
        Assert.Equal(HttpStatusCode.Conflict, second.Status);
        Assert.Contains("\"hung\" is being added or removed already", second.Document.GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.Created, (await AddAsync(control, "well", Write("memory", 1))).Status);
        using HttpResponseMessage removed = await control.SendAsync("DELETE /v1/images/well", body: null);
        Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
        await control.AskAsync("DELETE /v1/images/hung", HttpStatusCode.Conflict);
        Assert.False(hanging[0].IsCompleted);
        files.End();
        Assert.Equal(HttpStatusCode.BadGateway, (await hanging[0]).Status);
        await control.AskAsync("DELETE /v1/images/hung", HttpStatusCode.NotFound);
    }

    private static async Task<Answer> AddAsync(ControlClient control, string name, string file)
    {
        using HttpResponseMessage response = await control.SendAsync("POST /v1/images", Addition(name, file));
        return new Answer(response.StatusCode, JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement);
    }

    private static async Task<Answer> TakeOneAsync(List<Task<Answer>> answers)
    {
        Task<Answer> answered = await Task.WhenAny(answers).WaitAsync(Eventually.DefaultDeadline);
        answers.Remove(answered);
        return await answered;
    }

    private sealed record Answer(HttpStatusCode Status, JsonElement Document);
}
