namespace UffdManager.Benchmarks;

/// <summary>What a ratio manager/reference should be, or the manager's own value where there is nothing to compare it with.</summary>
/// <param name="AtMost">Greatest that reaches the target; null if there is none.</param>
/// <param name="AtLeast">Least that reaches the target; null if there is none.</param>
/// <param name="IsAbsolute">It is about the manager's value in the row's unit, not about the ratio.</param>
internal sealed record Target(double? AtMost = null, double? AtLeast = null, bool IsAbsolute = false)
{
    public static Target NoSlower { get; } = new(AtMost: 1.10);

    public static Target NoLessThroughput { get; } = new(AtLeast: 1 / 1.10);

    public static Target Within(double value) => new(AtMost: value, IsAbsolute: true);

    public bool IsReached(double value) => (AtMost is not { } most || value <= most) && (AtLeast is not { } least || value >= least);

    public override string ToString() => IsAbsolute ? $"≤ {AtMost:0}" : AtMost is { } most ? $"≤ {most:0.00}" : $"≥ {AtLeast:0.00}";
}
