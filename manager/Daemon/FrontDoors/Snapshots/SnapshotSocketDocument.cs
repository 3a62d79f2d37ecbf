using System.Text.Json;
using System.Text.Json.Serialization;
using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>What the next manager must know of a socket beside the listening descriptor. Unknown members are skipped, missing ones have their default: builds read each other's.</summary>
internal sealed record SnapshotSocketDocument
{
    public SnapshotSocketOptions? Socket { get; init; }

    /// <summary>Of the socket's file, to know it again.</summary>
    public ulong Device { get; init; }

    /// <summary>Of the socket's file.</summary>
    public ulong Inode { get; init; }

    /// <summary>The tenant of its first snapshot; empty if an earlier build wrote the document.</summary>
    public string Tenant { get; init; } = "";

    /// <summary>The snapshots that were made at run time, by name; those of the configuration are there anyway.</summary>
    public IReadOnlyDictionary<string, SnapshotOptions> Snapshots { get; init; } = new Dictionary<string, SnapshotOptions>();

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
