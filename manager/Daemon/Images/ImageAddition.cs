namespace UffdManager.Daemon.Images;

/// <summary>What an operator adds.</summary>
/// <param name="Name">Name of the image.</param>
/// <param name="Path">Absolute path of its file.</param>
/// <param name="Base">Name of the image that the file is a diff upon; null for none.</param>
/// <param name="PageBytes">4096 or 2 MiB; null takes that of the base, or 4096.</param>
/// <param name="Direct">Whether to read past the page cache.</param>
/// <param name="MayUseAnyFile">Whether the operator may add files from outside images.sourceDirectories.</param>
internal sealed record ImageAddition(string Name, string Path, string? Base, int? PageBytes, bool Direct, bool MayUseAnyFile);
