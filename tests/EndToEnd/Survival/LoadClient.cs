namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>
/// One run of <c>uffd-survival-client load</c>: a program that knows every byte that its memory must hold, and that resumes its session
/// whenever the manager has been away.
/// </summary>
public sealed class LoadClient : WatchedProgram
{
    private LoadClient(string[] arguments)
        : base("a client", SurvivalSource.Client, arguments)
    {
    }

    /// <summary>Starts a client with a seed; <paramref name="options"/> are those of the program.</summary>
    public static LoadClient Start(string socket, string source, int seed, params string[] options) =>
        new(["load", "--socket", socket, "--source", source, "--seed", $"{seed}", .. options]);

    /// <summary>Waits until it has its session and its threads are about to begin.</summary>
    public async Task<LoadClient> AwaitAttachedAsync()
    {
        await AwaitLineAsync("attached");
        return this;
    }

    /// <summary>Waits until it has done some more.</summary>
    public Task AwaitProgressAsync() => AwaitProgressAsync("ops", 100);

    /// <summary>SIGTERM: it checks all of its memory once more and says how it went.</summary>
    public async Task<LoadResult> FinishAsync()
    {
        Terminate();
        await EndsWithAsync(0);
        return LoadResult.Parse(await AwaitLineAsync("ok"));
    }
}
