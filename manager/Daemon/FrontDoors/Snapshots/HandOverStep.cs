namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>What a decoder makes of what has come so far.</summary>
internal readonly record struct HandOverStep
{
    private HandOverStep(MemoryHandOver? handOver, string? refusal, bool isWhole)
    {
        HandOver = handOver;
        Refusal = refusal;
        IsWhole = isWhole;
    }

    /// <summary>The message is not complete.</summary>
    public static HandOverStep NeedsMore => default;

    /// <summary>The complete message; null if it is not, or refused.</summary>
    public MemoryHandOver? HandOver { get; }

    /// <summary>Why the message can never be served, as a sentence about it; null if it can or may.</summary>
    public string? Refusal { get; }

    /// <summary>Whether the message has come to its end: who sent it waits for its memory, if it has handed any over.</summary>
    public bool IsWhole { get; }

    public static HandOverStep Complete(MemoryHandOver handOver) => new(handOver, null, isWhole: true);

    /// <summary>A message that can never be served.</summary>
    /// <param name="reason">A sentence about it.</param>
    /// <param name="isWhole">Whether it has come to its end.</param>
    public static HandOverStep Refused(string reason, bool isWhole) => new(null, reason, isWhole);
}
