namespace UffdManager.Daemon.Configuration;

/// <summary>Where a policy takes contents from.</summary>
public enum PolicySourceKind
{
    /// <summary>Pages of zeros.</summary>
    Zero,

    /// <summary>A raw image file that the configuration names.</summary>
    File,

    /// <summary>An image that was added (<c>uffdctl image add</c>).</summary>
    Image,

    /// <summary>The client names a file or hands one over, within what its tenant allows.</summary>
    Client,
}
