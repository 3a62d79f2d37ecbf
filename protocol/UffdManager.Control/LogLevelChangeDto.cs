namespace UffdManager.Control;

/// <summary>What is to be logged from now on.</summary>
public sealed record LogLevelChangeDto
{
    /// <summary>The new level; left out or null to leave it.</summary>
    public string? Level { get; init; }

    /// <summary>Exceptions to set; null as a value takes one away. At most 64 there may be.</summary>
    public IReadOnlyDictionary<string, string?>? Categories { get; init; }
}
