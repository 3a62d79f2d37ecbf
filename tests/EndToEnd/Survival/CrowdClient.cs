using UffdManager.Linux;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>Processes with a session each, which touch a new page when they are told to: <c>uffd-survival-client crowd</c>.</summary>
public sealed class CrowdClient : WatchedProgram
{
    private int _rounds;

    private CrowdClient(string[] arguments)
        : base("the crowd", SurvivalSource.Client, arguments)
    {
    }

    /// <summary>Starts the crowd and waits until each has its session.</summary>
    public static async Task<CrowdClient> StartAsync(string socket, string source, int count)
    {
        CrowdClient crowd = new(["crowd", "--socket", socket, "--source", source, "--count", $"{count}", "--parallel", "8", "--pages", "256"]);
        await crowd.AwaitLineAsync("ready");
        return crowd;
    }

    /// <summary>Lets each touch a new page, and waits until all have.</summary>
    /// <returns>When the first and the last was served, as of <see cref="MonotonicClock"/>.</returns>
    public async Task<(long First, long Last)> TouchAsync()
    {
        await SayAsync("touch");
        string line = await AwaitLineAsync($"touched round={++_rounds}");
        return (Value(line, "first_ns"), Value(line, "last_ns"));
    }
}
