namespace UffdManager.Daemon.Configuration;

/// <summary>Where traces of working sets are kept: section <c>workingSets</c>. Changes need a restart.</summary>
public sealed record WorkingSetOptions
{
    /// <summary>Absolute path of the directory for traces that cannot lie beside their image.</summary>
    public required string Directory { get; init; }

    /// <summary>Whether a trace is kept beside its image where the daemon may write there.</summary>
    public required bool BesideImages { get; init; }
}
