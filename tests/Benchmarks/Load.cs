namespace UffdManager.Benchmarks;

/// <summary>What the load client is asked to do.</summary>
/// <param name="Mode">Its mode.</param>
internal sealed record Load(string Mode)
{
    public string Policy { get; init; } = "image";

    /// <summary>"file", "memfd", "map" for what all clients of the file share, or "policy" for what the policy says.</summary>
    public string Source { get; init; } = "file";

    public int? Cpu { get; init; }

    public long? Faults { get; init; }

    public int? Clients { get; init; }

    public int? Threads { get; init; }

    public long? Length { get; init; }

    public int? Repeat { get; init; }

    /// <summary>Which pages the mode scattered touches.</summary>
    public int? Seed { get; init; }

    /// <summary>Whether the image leaves the page cache first.</summary>
    public bool Evict { get; init; }

    /// <summary>Pages that each client of the mode clones writes.</summary>
    public int? Writes { get; init; }

    /// <summary>Nanoseconds between two writes of the modes writers and forked, 0 for none.</summary>
    public int? Pace { get; init; }

    /// <summary>What the mode forked writes, instead of the image that is served.</summary>
    public string? OutputFile { get; init; }

    public IEnumerable<string> Arguments(string image)
    {
        yield return "--policy";
        yield return Policy;
        yield return "--source";
        yield return Source;
        if (Source is "file" or "map")
        {
            yield return "--image";
            yield return OutputFile ?? image;
        }

        if (Source == "policy")
            yield return "--zero";
        if (Evict)
            yield return "--evict";
        foreach ((string name, long? value) in new (string, long?)[]
        {
            ("--cpu", Cpu), ("--faults", Faults), ("--clients", Clients), ("--threads", Threads), ("--length", Length), ("--repeat", Repeat), ("--seed", Seed),
            ("--writes", Writes), ("--pace", Pace),
        })
        {
            if (value is { } number)
            {
                yield return name;
                yield return $"{number}";
            }
        }
    }
}
