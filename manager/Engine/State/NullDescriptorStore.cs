using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>Where no service manager keeps descriptors.</summary>
public sealed class NullDescriptorStore : IDescriptorStore
{
    private NullDescriptorStore()
    {
    }

    /// <summary>The one there is.</summary>
    public static NullDescriptorStore Instance { get; } = new();

    /// <inheritdoc/>
    public bool IsKept => false;

    /// <inheritdoc/>
    public bool IsPrompt => true;

    /// <inheritdoc/>
    public bool IsSettled => true;

    /// <inheritdoc/>
    public bool TryStore(string name, ReadOnlySpan<SafeFd> descriptors) => false;

    /// <inheritdoc/>
    public void Remove(string name)
    {
    }

    /// <inheritdoc/>
    public Task SettleAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    public Task<bool> SynchronizeAsync(TimeSpan patience) => Task.FromResult(true);
}
