namespace UffdManager.TestSupport;

/// <summary>A directory of its own under the system's temporary one; removed with everything in it.</summary>
public sealed class TempDirectory : IDisposable
{
    /// <summary>The absolute path.</summary>
    public string Path { get; } = Directory.CreateTempSubdirectory("uffd-test-").FullName;

    /// <summary>A path inside.</summary>
    public string Combine(params string[] parts) => System.IO.Path.Combine([Path, .. parts]);

    /// <summary>Writes a file inside and returns its path.</summary>
    public string WriteFile(string name, ReadOnlySpan<byte> contents)
    {
        string path = Combine(name);
        File.WriteAllBytes(path, contents.ToArray());
        return path;
    }

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(Path, recursive: true);
}
