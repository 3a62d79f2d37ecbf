using System.Diagnostics;
using System.Net;
using System.Text.Json;
using UffdManager.Daemon.Dashboard;
using UffdManager.Daemon.Tests.Telemetry;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Dashboard;

[Collection(TelemetryHost.Collection)]
public sealed class SessionMemoryTests
{
    [Fact]
    public async Task Session_comes_as_json_that_nobody_keeps()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using HttpResponseMessage response = await host.Http.GetAsync("/live/sessions/5?page=2");
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
        Assert.True(response.Headers.CacheControl!.NoStore);
        using JsonDocument memory = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        Assert.Equal(5, memory.RootElement.GetProperty("session").GetProperty("id").GetInt64());
        Assert.Equal(2 * DashboardLimits.RegionsPerPage, memory.RootElement.GetProperty("first").GetInt32());
    }

    [Fact]
    public async Task Session_that_is_over_is_not_found()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        host.Source.Memory = (_, _) => Task.FromResult<SessionMemory?>(null);
        Assert.Equal(HttpStatusCode.NotFound, (await host.Http.GetAsync("/live/sessions/5")).StatusCode);
    }

    [Theory]
    [InlineData("-1")]
    [InlineData("64")]
    [InlineData("x")]
    [InlineData("1e3")]
    [InlineData("99999999999")]
    public async Task Page_out_of_range_is_refused(string page)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        Assert.Equal(HttpStatusCode.BadRequest, (await host.Http.GetAsync($"/live/sessions/5?page={page}")).StatusCode);
        Assert.Equal(0, host.Source.Counts);
    }

    [Fact]
    public async Task Loop_that_does_not_answer_is_told_and_the_next_question_is_asked()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        host.Source.Memory = (_, _) => throw new TimeoutException();
        using HttpResponseMessage response = await host.Http.GetAsync("/live/sessions/5");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.NotNull(response.Headers.RetryAfter);
        host.Source.Memory = (session, page) => Task.FromResult<SessionMemory?>(FakeLiveSource.MemoryOf(session, page));
        Assert.Equal(HttpStatusCode.OK, (await host.Http.GetAsync("/live/sessions/6")).StatusCode);
    }

    [Fact]
    public async Task Same_question_of_many_pages_is_answered_once()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        TaskCompletionSource go = new(TaskCreationOptions.RunContinuationsAsynchronously);
        host.Source.Memory = async (session, page) =>
        {
            await go.Task;
            return FakeLiveSource.MemoryOf(session, page);
        };
        Task<HttpResponseMessage>[] questions = [.. Enumerable.Range(0, 40).Select(_ => host.Http.GetAsync("/live/sessions/5"))];
        Eventually.True(() => host.Source.Counts == 1, "the first question to be asked");
        go.SetResult();
        foreach (HttpResponseMessage answer in await Task.WhenAll(questions))
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(1, host.Source.Counts);
    }

    [Fact]
    public async Task Counting_takes_a_tenth_of_the_time_at_most()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        TimeSpan work = TimeSpan.FromMilliseconds(100);
        List<(long Begin, long End)> turns = [];
        host.Source.Memory = async (session, page) =>
        {
            long begin = Stopwatch.GetTimestamp();
            await Task.Delay(work); // lint: allowed, the work whose length decides the rest after it
            turns.Add((begin, Stopwatch.GetTimestamp()));
            return FakeLiveSource.MemoryOf(session, page);
        };
        await Task.WhenAll(Enumerable.Range(1, 4).Select(session => host.Http.GetAsync($"/live/sessions/{session}")));
        Assert.Equal((4, 1), (turns.Count, host.Source.CountsAtOnce));
        for (int i = 1; i < turns.Count; i++)
        {
            TimeSpan worked = Stopwatch.GetElapsedTime(turns[i - 1].Begin, turns[i - 1].End);
            TimeSpan rested = Stopwatch.GetElapsedTime(turns[i - 1].End, turns[i].Begin);
            Assert.True(rested >= worked * (DashboardLimits.MemoryRest - 1), $"worked {worked}, rested {rested}");
        }
    }

    [Fact]
    public async Task Questions_beyond_the_limit_are_told_to_come_back()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        TaskCompletionSource<SessionMemory?> never = new();
        host.Source.Memory = (_, _) => never.Task;
        using CancellationTokenSource gone = new();
        Task<HttpResponseMessage>[] waiting = [.. Enumerable.Range(1, DashboardLimits.MemoryRequests).Select(session => host.Http.GetAsync($"/live/sessions/{session}", gone.Token))];
        HttpStatusCode surplus = HttpStatusCode.OK;
        Eventually.True(() => host.Source.Counts == 1, "the first question to be asked");
        for (int session = 1000; surplus == HttpStatusCode.OK && session < 1100; session++)
        {
            // Others may not have arrived yet, and then this one takes the place of one of them.
            using CancellationTokenSource soon = new(TimeSpan.FromSeconds(1));
            try
            {
                surplus = (await host.Http.GetAsync($"/live/sessions/{session}", soon.Token)).StatusCode;
            }
            catch (OperationCanceledException)
            {
                continue;
            }
        }

        Assert.Equal(HttpStatusCode.ServiceUnavailable, surplus);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Task.WhenAll(waiting));
        never.SetResult(null);
    }
}
