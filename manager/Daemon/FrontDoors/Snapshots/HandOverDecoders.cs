using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>
/// The protocols by which VMMs hand memory over, by name: key <c>protocol</c> of a snapshot. Whatever is offered, checked and told of protocols comes from here: the next VMM's is one more
/// <see cref="IHandOverDecoder"/>, and one more line in <see cref="BuiltIn"/>. Immutable.
/// </summary>
/// <param name="decoders">Makes the decoder of one connection, by name in lower case.</param>
internal sealed class HandOverDecoders(IReadOnlyDictionary<string, Func<IHandOverDecoder>> decoders)
{
    /// <summary>Those of the manager.</summary>
    public static HandOverDecoders BuiltIn { get; } = new(new Dictionary<string, Func<IHandOverDecoder>>(StringComparer.Ordinal)
    {
        [SnapshotSocketOptions.DefaultProtocol] = () => new FirecrackerDecoder(),
    });

    /// <summary>All names.</summary>
    public IReadOnlyList<string> Names { get; } = [.. decoders.Keys];

    /// <summary>The name as it is written here; null if there is no such protocol.</summary>
    public string? Find(string protocol) => Names.FirstOrDefault(name => name.Equals(protocol, StringComparison.OrdinalIgnoreCase));

    /// <summary>A decoder for one connection.</summary>
    /// <param name="protocol">From <see cref="Find"/>.</param>
    /// <exception cref="KeyNotFoundException">There is no such protocol.</exception>
    public IHandOverDecoder Make(string protocol) => decoders[protocol]();
}
