namespace UffdManager.Cli.Output;

/// <summary>
/// A file that appears whole or not at all: written beside its place and then moved there. It may hold what not everybody should read, so only its
/// owner may. What exists already is written in place: it may be /dev/null.
/// </summary>
/// <param name="path">Where; null for the name that is proposed later, in the current directory, which must be new.</param>
internal sealed class OutputFile(string? path) : IDisposable
{
    private FileStream? _stream;
    private FileStream? _inPlace;
    private string _path = path ?? "";

    /// <summary>Opens it.</summary>
    /// <param name="proposal">Name for a file that the user has not named. From the other side of a socket: only its last part counts.</param>
    /// <exception cref="IOException">It cannot be made, or exists.</exception>
    /// <exception cref="UnauthorizedAccessException">Not in this directory.</exception>
    public Stream Open(string? proposal)
    {
        if (path is null)
        {
            string name = Text.Clean(Path.GetFileName(proposal ?? ""));
            _path = name is "" or "." or ".." ? "uffd-manager-bundle.tar.gz" : name;
            if (Path.Exists(_path))
                throw new IOException($"{_path} exists");
        }
        else if (Directory.Exists(path))
        {
            throw new IOException($"{path} is a directory");
        }

        if (Path.Exists(_path))
            return _inPlace = new FileStream(_path, FileMode.Create, FileAccess.Write);

        _stream = new FileStream($"{_path}.{Environment.ProcessId}.part", new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        return _stream;
    }

    /// <summary>Puts it in its place.</summary>
    /// <returns>The place.</returns>
    public string Commit()
    {
        _inPlace?.Dispose();
        if (_stream is { } written)
        {
            written.Dispose();
            File.Move(written.Name, _path, overwrite: false);
            _stream = null;
        }

        return _path;
    }

    /// <summary>Removes what was not finished.</summary>
    public void Dispose()
    {
        _inPlace?.Dispose();
        if (_stream is null)
            return;
        _stream.Dispose();
        File.Delete(_stream.Name);
    }
}
