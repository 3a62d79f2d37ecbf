namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>What a decoder makes of what has come so far.</summary>
internal readonly record struct HandOverStep
{
    private HandOverStep(MemoryHandOver? handOver, string? refusal)
    {
        HandOver = handOver;
        Refusal = refusal;
    }

    /// <summary>The message is not complete.</summary>
    public static HandOverStep NeedsMore => default;

    /// <summary>The complete message; null if it is not, or refused.</summary>
    public MemoryHandOver? HandOver { get; }

    /// <summary>Why the message can never be served, as a sentence about it; null if it can or may.</summary>
    public string? Refusal { get; }

    public static HandOverStep Complete(MemoryHandOver handOver) => new(handOver, null);

    public static HandOverStep Refused(string reason) => new(null, reason);
}
