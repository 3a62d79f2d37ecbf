using Microsoft.AspNetCore.Http;
using UffdManager.Control;
using UffdManager.Daemon.Inspection;

namespace UffdManager.Daemon.Control;

/// <summary>A stream of what tenants and sessions do, interval by interval.</summary>
internal sealed class TopRoutes(TopSampler sampler, Inspector inspector, ControlLimits limits) : IControlRoutes
{
    private static readonly TimeSpan s_usual = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_shortest = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_longest = TimeSpan.FromMinutes(1);

    public IEnumerable<ControlRoute> Routes => [new(HttpMethods.Get, "/v1/top", AccessRight.Read, TopAsync)];

    private async Task TopAsync(ControlRequest request)
    {
        TimeSpan interval = request.Duration("interval", s_usual, s_shortest, s_longest);
        long count = request.Integer("count", 0, 0, 1_000_000);
        int limit = (int)request.Integer("limit", 50, 0, 1000);
        string? tenant = request.Text("tenant");
        request.RefuseOthers();
        if (tenant is not null && inspector.Tenant(tenant) is null)
            throw new ProblemException(ProblemKind.NotFound, $"there is no tenant \"{tenant}\"", "GET /v1/tenants lists them");

        using IDisposable place = limits.Streams.Enter();
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(request.Aborted, limits.Stopping);
        ControlResponse.BeginStream(request.Http);
        await request.Http.Response.StartAsync(stop.Token);
        if (HttpMethods.IsHead(request.Http.Request.Method))
            return;

        try
        {
            long sent = 0;
            await foreach (TopFrameDto frame in sampler.SampleAsync(interval, tenant, limit, stop.Token))
            {
                await ControlResponse.LineAsync(request.Http, frame, ControlResponse.Json.TopFrameDto, stop.Token);
                if (++sent == count)
                    return;
            }
        }
        catch (OperationCanceledException) when (limits.Stopping.IsCancellationRequested && !request.Aborted.IsCancellationRequested)
        {
            // The daemon stops: the stream ends whole.
        }
    }
}
