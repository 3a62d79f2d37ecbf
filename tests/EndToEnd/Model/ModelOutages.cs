using System.Collections.Concurrent;
using System.Text;
using UffdManager.EndToEnd.Tests.Survival;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Model;

/// <summary>The manager is killed, restarted and reloaded at moments that the seed gives.</summary>
/// <param name="manager">It.</param>
/// <param name="world">Where its configurations come from.</param>
/// <param name="control">Its control socket.</param>
/// <param name="random">From the seed.</param>
public sealed class ModelOutages(SupervisedManager manager, ModelWorld world, ModelControl control, Random random)
{
    private int _begun;

    /// <summary>Counts the kills and restarts, their beginnings and their ends: odd while there may be no manager.</summary>
    public int Begun => Volatile.Read(ref _begun);

    /// <summary>What has been done, for the report.</summary>
    public ConcurrentDictionary<string, int> Done { get; } = [];

    /// <summary>Whether a manager has ended in every way that there is.</summary>
    public bool HasDoneAll => Done.ContainsKey("kill") && Done.ContainsKey("restart");

    /// <summary>Whether what was asked for when <see cref="Begun"/> was so may have been lost.</summary>
    public bool MayHaveLost(int begun) => Begun != begun || begun % 2 != 0;

    /// <summary>Goes on until it is told to end, and has a manager then.</summary>
    public async Task RunAsync(CancellationToken end)
    {
        Queue<string> first = new(random.Next(2) == 0 ? ["kill", "restart"] : ["restart", "kill"]);
        while (!end.IsCancellationRequested)
        {
            await Task.Delay(random.Next(20, 1500), CancellationToken.None); // lint: allowed, the moment of what follows is what is random here
            string what = first.Count > 0 ? first.Dequeue() : random.Next(10) switch
            {
                < 5 => "kill",
                < 6 => "twice",
                < 8 => "restart",
                _ => "reload",
            };
            Done.AddOrUpdate(what, 1, (_, count) => count + 1);
            switch (what)
            {
                case "reload":
                    await ReloadAsync();
                    break;
                case "restart":
                    Interlocked.Increment(ref _begun);
                    await manager.HandOverAsync();
                    Interlocked.Increment(ref _begun);
                    break;
                default:
                    await KillAsync(twice: what == "twice");
                    break;
            }
        }
    }

    private async Task KillAsync(bool twice)
    {
        Interlocked.Increment(ref _begun);
        int lives = manager.Lives;
        Assert.True(manager.Kill(), "there is no daemon to kill");
        if (twice)
        {
            await Task.Delay(random.Next(1, 1500), CancellationToken.None); // lint: allowed, as above
            lives = manager.Lives;
            if (!manager.Kill())
                lives = Math.Min(lives, manager.Lives);
        }

        await manager.AwaitLivesAsync(lives + 1);
        Interlocked.Increment(ref _begun);
    }

    private async Task ReloadAsync()
    {
        await File.WriteAllBytesAsync(Path.Combine(manager.Directory, "config.json"), Encoding.UTF8.GetBytes(world.Configuration()));
        ModelAnswer? answer = await control.AskAsync(HttpMethod.Post, "v1/reload");
        Assert.True(answer?.IsSuccess, $"the configuration is not loaded: {answer}\n{manager}");
    }
}
