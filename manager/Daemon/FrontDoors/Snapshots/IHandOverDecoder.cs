namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>
/// Reads the hand-over messages of one VMM. One object for one connection; a stream may cut the message at any byte, and what comes out must not depend on where.
/// Does no I/O. <see cref="HandOverDecoders"/> has them by name.
/// </summary>
internal interface IHandOverDecoder
{
    /// <summary>Looks at all that has come so far.</summary>
    /// <param name="bytes">From the first byte on. What an earlier call has seen is there again, unchanged.</param>
    /// <param name="descriptors">What came with these bytes, in order.</param>
    HandOverStep Decode(ReadOnlySpan<byte> bytes, IReadOnlyList<HandedKind> descriptors);
}
