namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>How <see cref="SupervisedManager"/> starts.</summary>
public sealed record SupervisedOptions
{
    /// <summary>JSON; socket and metrics port are set by environment.</summary>
    public string Configuration { get; init; } = """
        {
          "listen": { "mode": "0666" },
          "policies": {
            "zero": { "source": { "kind": "zero" } },
            "file": { "source": { "kind": "client" }, "faultAroundBytes": "64KiB" }
          },
          "tenants": {
            "everybody": {
              "default": true, "defaultPolicy": "zero", "policies": ["*"],
              "limits": { "sessions": 4096, "connections": 4096, "sources": 4096 }
            }
          }
        }
        """;

    /// <summary>The program and its first arguments; the daemon that was built with the tests if null.</summary>
    public string[]? Daemon { get; init; }

    /// <summary>Stands before the daemon's own command line, and becomes it by exec.</summary>
    public string[] Wrapper { get; init; } = [];

    /// <summary>Options of uffd-supervise.</summary>
    public string[] Supervise { get; init; } = [];

    /// <summary>Environment of every life of the daemon.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();
}
