using System.Text.Json.Serialization;

namespace UffdManager.Benchmarks;

/// <summary>One line of the result: the medians of both handlers over all rounds.</summary>
internal sealed record Row
{
    /// <summary>What was measured, where.</summary>
    public required string Name { get; init; }

    /// <summary>"us", "faults/s", "GB/s", "KiB", "ms".</summary>
    public required string Unit { get; init; }

    /// <summary>The manager's median; null if it could not be measured.</summary>
    public double? Manager { get; init; }

    /// <summary>The reference handler's median; null if it could not be measured.</summary>
    public double? Reference { get; init; }

    /// <summary>Manager divided by reference; null where the reference is 0 or one of them is missing.</summary>
    public double? Ratio => Manager is { } manager && Reference is { } reference && reference != 0 ? manager / reference : null;

    /// <summary>Measurements of each handler that the medians are taken from.</summary>
    public int Runs { get; init; }

    /// <summary>Why there is no result.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Error { get; init; }

    /// <summary>What the ratio should be; null if nothing is promised.</summary>
    [JsonIgnore]
    public Target? Target { get; init; }
}
