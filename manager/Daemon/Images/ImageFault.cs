namespace UffdManager.Daemon.Images;

/// <summary>Why something cannot be done with an image.</summary>
internal enum ImageFault
{
    /// <summary>What was asked makes no sense.</summary>
    Invalid,

    /// <summary>Who asks may not.</summary>
    Forbidden,

    /// <summary>There is no such image, or no such file.</summary>
    NotFound,

    /// <summary>Not in the present state.</summary>
    Conflict,

    /// <summary>The kernel refused: a file cannot be read, memory or descriptors are short.</summary>
    Kernel,
}
