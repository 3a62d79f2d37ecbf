namespace UffdManager.Daemon.Control;

/// <summary>
/// Changes of images under way, each on a thread that may hang in a file system: one at a time of a name, and a few in all. Whoever asked for one may go away and
/// leaves nothing more behind; what is begun goes on, and has its place until its thread is through.
/// </summary>
internal sealed class ImageChanges
{
    /// <summary>How many may be under way.</summary>
    public const int Limit = 8;

    private readonly Lock _gate = new();
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);

    /// <summary>Carries a change out.</summary>
    /// <param name="name">Name of the image.</param>
    /// <param name="work">The change; may wait for file systems.</param>
    /// <param name="gone">Gives up waiting.</param>
    /// <exception cref="ProblemException">It cannot be done, or not now.</exception>
    public Task<T> DoAsync<T>(string name, Func<T> work, CancellationToken gone)
    {
        lock (_gate)
        {
            if (_names.Contains(name))
                throw new ProblemException(ProblemKind.Conflict, $"image \"{name}\" is being added or removed already", "wait until that is over; one that never ends waits for a file system that does not answer");
            if (_names.Count == Limit)
                throw new ProblemException(ProblemKind.Busy, $"{Limit} images are being added or removed, which is the limit", "ask again later; those that never end wait for a file system that does not answer: mend it, or unmount it by force (umount -f)");
            _names.Add(name);
        }

        return DoAloneAsync(name, work).WaitAsync(gone);
    }

    private async Task<T> DoAloneAsync<T>(string name, Func<T> work)
    {
        try
        {
            return await ImageRoutes.CarryOutAsync(work);
        }
        finally
        {
            lock (_gate)
                _names.Remove(name);
        }
    }
}
