using UffdManager.Linux;

namespace UffdManager.Client;

/// <summary>How a client introduces itself and what it does when the manager goes away.</summary>
public sealed record ClientOptions
{
    /// <summary>Where the daemon listens unless configured otherwise.</summary>
    public const string DefaultSocketPath = "/run/uffd-manager/manager.sock";

    /// <summary>Shown to people beside the session; at most 64 bytes of UTF-8. Default: the name of the process.</summary>
    public string Label { get; init; } = Path.GetFileName(Environment.ProcessPath) ?? "dotnet";

    /// <summary>Policy of ranges that name none; empty for the tenant's. Default: empty.</summary>
    public string Policy { get; init; } = "";

    /// <summary>Features wanted besides those that the manager always asks for. Default: none.</summary>
    public UffdFeatures Features { get; init; }

    /// <summary>
    /// A userfaultfd of this process on which UFFDIO_API has not been called; owned by the client from now on. Null, the default: the client makes
    /// one from the device that the manager hands out, which needs no privilege.
    /// </summary>
    public SafeUffd? Userfaultfd { get; init; }

    /// <summary>
    /// Whether the client connects again, and takes its ranges along, when the manager was restarted or the connection was lost. While
    /// no manager is there, faults wait. Default: true.
    /// </summary>
    public bool Reconnect { get; init; } = true;

    /// <summary>Wait before the first attempt to connect again; doubles up to <see cref="ReconnectBackoffLimit"/>. Default: 10 ms.</summary>
    public TimeSpan ReconnectBackoff { get; init; } = TimeSpan.FromMilliseconds(10);

    /// <summary>Longest wait between two attempts. Default: one second.</summary>
    public TimeSpan ReconnectBackoffLimit { get; init; } = TimeSpan.FromSeconds(1);
}
