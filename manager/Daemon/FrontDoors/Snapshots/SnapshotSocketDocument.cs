using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>What the next manager must know of a socket beside the listening descriptor. Unknown members are skipped, missing ones have their default: builds read each other's.</summary>
/// <remarks>The generated code sets members that a document lacks to null, whatever their initializers say.</remarks>
internal sealed record SnapshotSocketDocument
{
    private static readonly Dictionary<string, SnapshotOptions> s_none = [];

    public SnapshotSocketOptions? Socket { get; init; }

    /// <summary>Of the socket's file, to know it again.</summary>
    public ulong Device { get; init; }

    /// <summary>Of the socket's file.</summary>
    public ulong Inode { get; init; }

    /// <summary>The tenant of its first snapshot; empty if an earlier build wrote the document.</summary>
    [AllowNull]
    public string Tenant { get; init => field = value ?? ""; } = "";

    /// <summary>The snapshots that were made at run time, by name; those of the configuration are there anyway.</summary>
    [AllowNull]
    public IReadOnlyDictionary<string, SnapshotOptions> Snapshots { get; init => field = value ?? s_none; } = s_none;

    public byte[] Encode() => JsonSerializer.SerializeToUtf8Bytes(this, SnapshotJson.Default.SnapshotSocketDocument);

    /// <summary>Reads a document.</summary>
    /// <returns>Null when it is none.</returns>
    public static SnapshotSocketDocument? TryDecode(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return JsonSerializer.Deserialize(bytes, SnapshotJson.Default.SnapshotSocketDocument) is { Socket: not null } document ? document : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>Generated code for <see cref="SnapshotSocketDocument"/>.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(SnapshotSocketDocument))]
internal sealed partial class SnapshotJson : JsonSerializerContext;
