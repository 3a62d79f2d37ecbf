namespace UffdManager.Control;

/// <summary>What is logged.</summary>
public sealed record LogLevelsDto
{
    /// <summary>Least level that is written.</summary>
    public required string Level { get; init; }

    /// <summary>What the configuration says.</summary>
    public required string Configured { get; init; }

    /// <summary>Exceptions, by the beginning of the category: the longest that fits counts.</summary>
    public required IReadOnlyDictionary<string, string> Categories { get; init; }
}
