using System.Diagnostics;
using UffdManager.EndToEnd.Tests.Survival;
using UffdManager.TestSupport;
using Xunit;
using Xunit.Abstractions;

namespace UffdManager.EndToEnd.Tests.Model;

/// <summary>
/// Random operations of clients, operators and fate, against a simple model of what each page must contain. A run is repeated with
/// <c>UFFD_MODEL_SEED</c>, and made longer with <c>UFFD_MODEL_SECONDS</c>.
/// </summary>
/// <remarks>`make test` runs it for a short time, `make test-model` for any.</remarks>
[Collection(ModelCollection.Name)]
[Trait("Category", "Model")]
public sealed class ModelTests(ITestOutputHelper output)
{
    [SkippableTheory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public Task Pages_contain_what_the_model_says(int seed) => RunAsync(seed, huge: false);

    [SkippableTheory]
    [InlineData(4)]
    [InlineData(5)]
    public Task Huge_pages_contain_what_the_model_says(int seed) => RunAsync(seed, huge: true);

    [SkippableFact]
    public Task Pages_contain_what_the_model_says_for_another_seed_each_time()
    {
        int seed = ModelSettings.Seed ?? Random.Shared.Next(1, int.MaxValue);
        return RunAsync(seed, huge: seed % 2 == 0);
    }

    private async Task RunAsync(int seed, bool huge)
    {
        Require.That(Environment.IsPrivilegedProcess, "needs root");
        Require.That(ModelSettings.IsBuilt, $"needs the native programs ({ModelSettings.Client}): make build");
        using HugePages? pool = huge ? HugePages.AtLeast(16) : null;
        output.WriteLine($"UFFD_MODEL_SEED={seed} UFFD_MODEL_SECONDS={ModelSettings.Time.TotalSeconds}");
        using ModelWorld world = new(seed);
        await using SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions { Configuration = world.Configuration() });
        List<ModelClient> clients = [];
        try
        {
            using ModelControl control = new(Path.Combine(manager.Directory, "control.sock"));
            try
            {
                await RunAsync(manager, world, control, clients, new Random(seed), huge);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                IEnumerable<string> told = clients.Where(client => !e.Message.Contains($"the client of session {client.Session}:", StringComparison.Ordinal)).Select(client => $"session {client.Session}:\n{client.Beginning}");
                throw new InvalidOperationException($"{e.Message}\n{string.Join('\n', told)}\nrequests:\n{control}", e);
            }
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            throw new InvalidOperationException($"UFFD_MODEL_SEED={seed} (huge: {huge}): {e.Message}\n{manager}", e);
        }
        finally
        {
            foreach (ModelClient client in clients)
                await client.DisposeAsync();
        }

        manager.AssertNoAccident();
        Assert.Equal(0, await manager.StopAsync());
    }

    private async Task RunAsync(SupervisedManager manager, ModelWorld world, ModelControl control, List<ModelClient> clients, Random random, bool huge)
    {
        foreach (string image in world.Images())
        {
            ModelAnswer? added = await control.AskAsync(HttpMethod.Post, "v1/images", image);
            Assert.True(added?.IsSuccess, added?.ToString());
        }

        for (int i = 0; i < 2; i++)
            clients.Add(await ModelClient.StartAsync(manager.SocketPath, random.Next(), world.Client(huge && i == 1)));
        ModelOutages outages = new(manager, world, control, new Random(random.Next()));
        using CancellationTokenSource end = new();
        ModelOperator[] operators =
            [.. clients.Select(client => new ModelOperator(client, control, outages, world.Directory, new Random(random.Next())))];
        bool HasDoneAll() => outages.HasDoneAll && operators.All(one => one.HasDoneAll);
        Task[] all = [outages.RunAsync(end.Token), .. operators.Select(one => one.RunAsync(end.Token)), EndAsync(end, HasDoneAll)];
        while (all.Any(task => !task.IsCompleted))
        {
            // The first that fails says why: nobody waits for the others' patience.
            if ((await Task.WhenAny(all.Where(task => !task.IsCompleted))).IsFaulted)
            {
                await end.CancelAsync();
                break;
            }
        }

        foreach (Task failed in all.Where(task => task.IsFaulted))
            await failed;
        foreach ((ModelClient client, ModelOperator orders) in clients.Zip(operators))
            output.WriteLine($"{await client.FinishAsync()}; {string.Join(", ", orders.Done.Select(pair => $"{pair.Key} {pair.Value}"))}");
        string ends = string.Join(", ", outages.Done.Select(pair => $"{pair.Key} {pair.Value}"));
        output.WriteLine(ends);
        if (HasDoneAll())
            return;
        string lack = $"something has not been done yet, and all runs together have waited for {ModelPatience.Used} beyond their time: {ends}; {string.Join("; ", operators.Select(one => string.Join(", ", one.Done)))}";
        Assert.False(ModelPatience.WasEnough, lack);
        output.WriteLine(lack);
    }

    // When the time is over, and everything has been done that a run is about.
    private static async Task EndAsync(CancellationTokenSource end, Func<bool> isComplete)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(20));
        Stopwatch time = Stopwatch.StartNew();
        while (time.Elapsed < ModelSettings.Time && !end.IsCancellationRequested)
            await timer.WaitForNextTickAsync();
        ModelPatience.Begin();
        while (!isComplete() && ModelPatience.IsLeft && !end.IsCancellationRequested)
            await timer.WaitForNextTickAsync();
        ModelPatience.End();
        if (!end.IsCancellationRequested)
            await end.CancelAsync();
    }
}
