namespace UffdManager.Benchmarks;

/// <summary>Both handlers, up at the same time and idle while the other is measured.</summary>
internal sealed record HandlerPair(Handler Reference, Handler Manager) : IAsyncDisposable
{
    /// <summary>
    /// Measures both, alternately, and changes who is first with every round, so that whatever drifts in the machine hits both alike.
    /// </summary>
    /// <param name="warmUps">Rounds that do not count: the just-in-time compiler and the page cache settle in them.</param>
    /// <param name="rounds">Rounds that count.</param>
    /// <param name="measure">One measurement.</param>
    public async Task<Comparison> AlternateAsync(
        int warmUps, int rounds, Func<Handler, Task<IReadOnlyDictionary<string, double>>> measure)
    {
        var comparison = new Comparison();
        for (int round = -warmUps; round < rounds; round++)
        {
            Handler[] order = round % 2 == 0 ? [Reference, Manager] : [Manager, Reference];
            foreach (Handler handler in order)
            {
                IReadOnlyDictionary<string, double> measured = await measure(handler);
                if (round >= 0)
                    comparison.Add(handler.Role, measured);
            }
        }

        return comparison;
    }

    public async ValueTask DisposeAsync()
    {
        await Manager.DisposeAsync();
        await Reference.DisposeAsync();
    }
}
