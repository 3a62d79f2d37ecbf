namespace UffdManager.Engine;

/// <summary>How a command ended.</summary>
/// <param name="Error">Null on success.</param>
/// <param name="Value">On success: ioctls of a registration, bytes installed by a prefetch, else 0.</param>
public sealed record EngineResult(EngineError? Error, ulong Value = 0)
{
    /// <summary>Success without a value.</summary>
    public static EngineResult Success { get; } = new(Error: null);
}
