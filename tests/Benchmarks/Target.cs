namespace UffdManager.Benchmarks;

/// <summary>What a ratio manager/reference should be.</summary>
/// <param name="AtMost">Greatest ratio that reaches the target; null if there is none.</param>
/// <param name="AtLeast">Least ratio that reaches the target; null if there is none.</param>
internal sealed record Target(double? AtMost = null, double? AtLeast = null)
{
    public static Target NoSlower { get; } = new(AtMost: 1.10);

    public static Target NoLessThroughput { get; } = new(AtLeast: 1 / 1.10);

    public bool IsReached(double ratio) => (AtMost is not { } most || ratio <= most) && (AtLeast is not { } least || ratio >= least);

    public override string ToString() => AtMost is { } most ? $"≤ {most:0.00}" : $"≥ {AtLeast:0.00}";
}
