using UffdManager.TestSupport;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>Where managers that follow each other have their configuration and their sockets; deleted on disposal.</summary>
internal sealed class SupervisedFolder : IDisposable
{
    private readonly TempDirectory _directory = new();
    private int _last;

    public SupervisedFolder(string? configuration = null) => Configure(configuration ?? Everybody);

    public const string Everybody = """
        {
          "policies": {
            "zero": { "source": { "kind": "zero" } },
            "file": { "source": { "kind": "client" }, "removeMeans": "source" }
          },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "zero", "policies": ["*"], "limits": { "sources": 2, "maps": 2 } } }
        }
        """;

    public string Configuration => _directory.Combine("config.json");

    public string Socket => _directory.Combine("manager.sock");

    public string Control => _directory.Combine("control.sock");

    public void Configure(string configuration) => File.WriteAllText(Configuration, configuration);

    public string NewPath() => _directory.Combine($"way-{++_last}");

    /// <summary>A file whose page n is filled with the byte n + 1.</summary>
    public string MakeSource(int pages)
    {
        string path = _directory.Combine($"source-{++_last}");
        File.WriteAllBytes(path, [.. Enumerable.Range(0, pages).SelectMany(page => Enumerable.Repeat((byte)(page + 1), Environment.SystemPageSize))]);
        return path;
    }

    public void Dispose() => _directory.Dispose();
}
