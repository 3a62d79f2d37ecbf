using System.Text.RegularExpressions;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>A manager with clients, one of which is the victim of what <c>uffd-survival-intruder</c> does to the next start.</summary>
internal sealed class Damaged : IAsyncDisposable
{
    private const int Killed = 128 + Signals.Kill;

    private readonly SupervisedManager _manager;
    private readonly string _plan;

    private Damaged(SupervisedManager manager, string plan)
    {
        _manager = manager;
        _plan = plan;
    }

    public LoadClient Victim { get; private set; } = null!;

    public IReadOnlyList<LoadClient> Others { get; private set; } = [];

    /// <summary>Under which the victim's descriptors are kept.</summary>
    public string VictimName => NameOf(Victim);

    public static async Task<Damaged> StartAsync(SurvivalSource source)
    {
        string plan = Path.Combine(Path.GetTempPath(), $"uffd-plan-{Guid.NewGuid():N}");
        SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions { Wrapper = [SurvivalSource.Intruder, plan] });
        Damaged it = new(manager, plan);
        LoadClient Start(int seed, params string[] options) =>
            LoadClient.Start(manager.SocketPath, source.Path, seed, ["--pace", "100", .. options]);
        it.Others = [await Start(21).AwaitAttachedAsync()];

        // Without a keeper: were the manager to close its userfaultfd, it would read zeros, and say so.
        it.Victim = await Start(22, "--kinds", "f", "--remove", "source").AwaitAttachedAsync();
        it.Others = [.. it.Others, await Start(23, "--kinds", "fzps", "--fields", "4", "--keeper").AwaitAttachedAsync()];
        return it;
    }

    public static string NameOf(LoadClient client) => $"session-{SessionOf(client)}";

    /// <summary>Kills the manager; what its successor gets is changed as the plan says.</summary>
    public async Task KillWithPlanAsync(string plan)
    {
        int lives = _manager.Lives;
        await File.WriteAllTextAsync(_plan, plan + "\n");
        Assert.True(_manager.Kill());
        await _manager.AwaitLivesAsync(lives + 1);
        Assert.False(File.Exists(_plan), $"the plan was not carried out:\n{_manager}");
    }

    public async Task AssertVictimWasKilledAsync()
    {
        Assert.True(await Victim.AwaitEndAsync() == Killed, $"the victim was not killed: {Victim.Output}\n{_manager}");
        Assert.DoesNotContain("FAIL", Victim.Output, StringComparison.Ordinal);
        await _manager.WaitForLogAsync($"(?i)session {SessionOf(Victim)}\\b.*kill");
    }

    public async Task AssertVictimWasKilledOrServedAsync()
    {
        await Task.WhenAny(Victim.AwaitEndAsync(), Victim.AwaitProgressAsync());
        if (Victim.HasExited)
            await AssertVictimWasKilledAsync();
        else
            await Victim.FinishAsync();
    }

    public async Task AssertOthersAreWellAsync(IEnumerable<LoadClient> others)
    {
        foreach (LoadClient client in others)
        {
            try
            {
                await client.AwaitProgressAsync();
                await client.FinishAsync();
            }
            catch (Xunit.Sdk.XunitException e)
            {
                throw new InvalidOperationException($"{e.Message}\n{_manager}", e);
            }
        }

        _manager.AssertNoAccident(sessionsFail: true);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (LoadClient client in (LoadClient[])[.. Others, Victim])
            await client.DisposeAsync();
        await _manager.DisposeAsync();
        File.Delete(_plan);
    }

    private static string SessionOf(LoadClient client) =>
        Regex.Match(client.Output, "(?<=attached session=)[0-9]+", RegexOptions.None, TimeSpan.FromSeconds(1)).Value;
}
