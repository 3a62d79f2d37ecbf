using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>
/// Keeps descriptors beyond the life of this process: the service manager's descriptor store (sd_notify(3), FDSTORE). Called by fault loops:
/// no method waits, and calls are carried out in the order in which they were made.
/// </summary>
public interface IDescriptorStore
{
    /// <summary>Whether somebody really keeps what is stored. If not, sessions end with the process.</summary>
    bool IsKept { get; }

    /// <summary>
    /// Whether what is stored now outlives this process from the moment of the call, as far as can be told: nothing that was stored before waits in this process, and there was room on the way to the keeper,
    /// which others may use up meanwhile; <see cref="IsSettled"/> tells afterwards. True where there is no keeper.
    /// </summary>
    bool IsPrompt { get; }

    /// <summary>Whether everything that was stored so far outlives this process: nothing of it waits in here. True where there is no keeper.</summary>
    bool IsSettled { get; }

    /// <summary>Stores duplicates of descriptors under a name; what is stored under it already stays.</summary>
    /// <param name="name">Up to 255 bytes without control characters and colons.</param>
    /// <param name="descriptors">Borrowed; may be closed as soon as the call returns.</param>
    /// <returns>Whether they are on their way to the keeper; false means that they will not outlive this process.</returns>
    bool TryStore(string name, ReadOnlySpan<SafeFd> descriptors);

    /// <summary>Gives up everything that is stored under a name.</summary>
    void Remove(string name);

    /// <summary>
    /// Completes when what was stored so far is with the keeper, and so outlives this process; also when that takes unreasonably long. At once, as a rule: only a
    /// keeper that does not read makes descriptors wait in this process.
    /// </summary>
    Task SettleAsync();

    /// <summary>Waits until the keeper has read everything that was stored or given up so far. At once where there is no keeper.</summary>
    /// <returns>False when that took longer than <paramref name="patience"/>.</returns>
    Task<bool> SynchronizeAsync(TimeSpan patience);
}
