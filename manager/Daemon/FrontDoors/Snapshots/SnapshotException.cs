namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>A snapshot that cannot be served, or stopped, as it was asked for.</summary>
/// <param name="kind">What is in the way.</param>
/// <param name="text">Why, in words for who asked.</param>
/// <param name="remedy">What can be done about it.</param>
internal sealed class SnapshotException(SnapshotException.Obstacle kind, string text, string remedy) : Exception(text)
{
    /// <summary>What is in the way.</summary>
    internal enum Obstacle
    {
        /// <summary>Something that was asked for cannot be had.</summary>
        Request,

        /// <summary>It is in the way of another snapshot.</summary>
        Conflict,

        /// <summary>There is no such snapshot.</summary>
        NotFound,

        /// <summary>The kernel refused.</summary>
        Kernel,
    }

    public Obstacle Kind { get; } = kind;

    public string Remedy { get; } = remedy;
}
