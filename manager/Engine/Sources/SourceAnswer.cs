namespace UffdManager.Engine.Sources;

/// <summary>What a source can say without waiting.</summary>
public enum SourceAnswer
{
    /// <summary>The bytes are in memory.</summary>
    Ready,

    /// <summary>The range reads as zeros.</summary>
    Zero,

    /// <summary>The bytes must be fetched.</summary>
    Slow,
}
