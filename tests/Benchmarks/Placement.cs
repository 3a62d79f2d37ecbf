namespace UffdManager.Benchmarks;

/// <summary>On which CPUs client and handler run.</summary>
/// <param name="Name">As in the table.</param>
/// <param name="ClientCpu">CPU of all threads of the client; null is any.</param>
/// <param name="HandlerCpu">CPU of all threads of the handler; null is any.</param>
internal sealed record Placement(string Name, int? ClientCpu, int? HandlerCpu)
{
    public static Placement SameCpu { get; } = new("same CPU", 0, 0);

    public static Placement DifferentCpus { get; } = new("different CPUs", 0, 1);

    public static Placement Unpinned { get; } = new("unpinned", null, null);

    /// <exception cref="BenchException">This machine has too few CPUs.</exception>
    public void Check()
    {
        int needed = Math.Max(ClientCpu ?? 0, HandlerCpu ?? 0) + 1;
        if (Environment.ProcessorCount < needed)
            throw new BenchException($"needs {needed} CPUs, {Environment.ProcessorCount} may be used");
    }
}
