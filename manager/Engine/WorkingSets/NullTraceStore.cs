namespace UffdManager.Engine.WorkingSets;

/// <summary>Keeps nothing: working sets last as long as the engine.</summary>
public sealed class NullTraceStore : ITraceStore
{
    private NullTraceStore()
    {
    }

    /// <summary>The only one.</summary>
    public static NullTraceStore Instance { get; } = new();

    /// <inheritdoc/>
    public byte[]? TryLoad(in TraceKey key, string? source) => null;

    /// <inheritdoc/>
    public void Save(in TraceKey key, string? source, ReadOnlySpan<byte> trace)
    {
    }

    /// <inheritdoc/>
    public bool Forget(in TraceKey key, string? source) => false;

    /// <inheritdoc/>
    public void Rejected(in TraceKey key, string? source, string reason)
    {
    }

    /// <inheritdoc/>
    public void Failed(in TraceKey key, string? source, Exception failure)
    {
    }
}
