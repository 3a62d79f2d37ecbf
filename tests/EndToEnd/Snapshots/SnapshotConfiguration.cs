using System.Text.Json;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>Configurations that serve memory files at sockets.</summary>
internal static class SnapshotConfiguration
{
    private static readonly string[] s_every = ["*"];

    /// <summary>One snapshot for everybody.</summary>
    /// <param name="image">The memory file; its directory is a source directory of the tenant.</param>
    /// <param name="socket">Where VMs connect.</param>
    /// <param name="policy">The policy's keys; kills after a minute if null, which no busy machine needs for a page that can be had.</param>
    public static string For(string image, string socket, object? policy = null) => For([(image, socket)], policy);

    /// <summary>Several snapshots of one tenant, named snapshot0 and so on.</summary>
    public static string For(IReadOnlyList<(string Image, string Socket)> snapshots, object? policy = null) => JsonSerializer.Serialize(new
    {
        listen = new { mode = "0666" },
        policies = new Dictionary<string, object>
        {
            ["memory"] = policy ?? new { source = new { kind = "client" }, onUnavailable = "kill", deadline = "60s" },
        },
        tenants = new
        {
            vms = new
            {
                @default = true,
                defaultPolicy = "memory",
                policies = s_every,
                sourceDirectories = snapshots.Select(snapshot => Path.GetDirectoryName(snapshot.Image)).Distinct(),
                limits = new { sessions = 1024, connections = 1024, sources = 1024 },
            },
        },
        snapshots = snapshots.Select((snapshot, i) => (Name: $"snapshot{i}", snapshot)).ToDictionary(
            entry => entry.Name,
            entry => new { image = entry.snapshot.Image, tenant = "vms", socket = entry.snapshot.Socket, mode = "0666", timeout = "2s" }),
    });
}
