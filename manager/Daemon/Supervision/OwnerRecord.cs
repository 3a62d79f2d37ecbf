using System.Buffers.Binary;
using System.Text;
using UffdManager.Engine;

namespace UffdManager.Daemon.Supervision;

/// <summary>
/// What the daemon has the engine remember of a session, for the manager that restores it. Fields that a reader does not know are skipped, fields that the writer
/// did not know have their default; so managers of other versions understand each other.
/// </summary>
/// <remarks>
/// A version byte, then fields: a tag byte, the length as a variable-length number of 7 bits a byte, the value. Numbers are little endian.
/// </remarks>
internal sealed record OwnerRecord
{
    private const byte Version = 1;
    private const byte ResumeTokenTag = 1;
    private const byte SessionIdTag = 2;
    private const byte SourceOffsetTag = 3;
    private const byte RemoveMeansSourceTag = 4;
    private const byte SourceIdentityTag = 5;
    private const byte ImagesTag = 6;
    private const byte SnapshotTag = 7;
    private const byte SnapshotPeerTag = 8;

    /// <summary>Whoever shows it, from the same process, gets the session back; 0 for nobody.</summary>
    public ulong ResumeToken { get; init; }

    /// <summary>
    /// The session it is about, if that is a forked child: until a child is known by name its record is a copy of its parent's. 0 for all others, whose
    /// number is not known yet when the record is made.
    /// </summary>
    public long SessionId { get; init; }

    /// <summary>Of the default policy, see <see cref="Tenancy.PolicyGrant.SourceOffset"/>.</summary>
    public long SourceOffset { get; init; }

    /// <summary>Of the default policy.</summary>
    public bool RemoveMeansSource { get; init; }

    /// <summary>Of the default policy, see <see cref="Tenancy.PolicyGrant.SourceIdentity"/>.</summary>
    public string SourceIdentity { get; init; } = "";

    /// <summary>Objects that the session has mapped, ascending.</summary>
    public IReadOnlyList<long> Images { get; init; } = [];

    /// <summary>The snapshot that it was restored from, by the name of its definition; empty for none.</summary>
    public string Snapshot { get; init; } = "";

    /// <summary>Number of the connection that its memory came over, if it is of a snapshot; 0 for none.</summary>
    public long SnapshotPeer { get; init; }

    /// <summary>Whether the record belongs to a session, and not to the parent that it was copied from.</summary>
    /// <param name="id">The session.</param>
    /// <param name="parent">The session it was forked from; 0 for none.</param>
    public bool IsOf(long id, long parent) => ResumeToken != 0 && SessionId == (parent == 0 ? 0 : id);

    /// <summary>Writes the record.</summary>
    /// <returns>Null when it is longer than <see cref="AttachRequest.MaximumOwnerRecord"/>: there are too many objects.</returns>
    public byte[]? Encode()
    {
        List<byte> bytes = [Version];
        Span<byte> number = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteUInt64LittleEndian(number, ResumeToken);
        Add(bytes, ResumeTokenTag, number);
        BinaryPrimitives.WriteInt64LittleEndian(number, SessionId);
        Add(bytes, SessionIdTag, number);
        BinaryPrimitives.WriteInt64LittleEndian(number, SourceOffset);
        Add(bytes, SourceOffsetTag, number);
        Add(bytes, RemoveMeansSourceTag, [RemoveMeansSource ? (byte)1 : (byte)0]);
        Add(bytes, SourceIdentityTag, Encoding.UTF8.GetBytes(SourceIdentity));

        // As differences: numbers of one session are near each other, and most take a byte.
        List<byte> images = [];
        long last = 0;
        foreach (long image in Images)
        {
            AddVariable(images, (ulong)(image - last));
            last = image;
        }

        Add(bytes, ImagesTag, [.. images]);
        if (Snapshot.Length > 0)
            Add(bytes, SnapshotTag, Encoding.UTF8.GetBytes(Snapshot));
        BinaryPrimitives.WriteInt64LittleEndian(number, SnapshotPeer);
        if (SnapshotPeer != 0)
            Add(bytes, SnapshotPeerTag, number);
        return bytes.Count <= AttachRequest.MaximumOwnerRecord ? [.. bytes] : null;
    }

    /// <summary>Reads a record.</summary>
    /// <returns>Null when it is none, or of a version that this manager cannot read.</returns>
    public static OwnerRecord? TryDecode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty || bytes[0] != Version)
            return null;
        bytes = bytes[1..];
        OwnerRecord record = new();
        while (!bytes.IsEmpty)
        {
            byte tag = bytes[0];
            bytes = bytes[1..];
            if (!TryReadVariable(ref bytes, out ulong length) || length > (ulong)bytes.Length)
                return null;
            ReadOnlySpan<byte> value = bytes[..(int)length];
            bytes = bytes[(int)length..];
            if (record.With(tag, value) is not { } more)
                return null;
            record = more;
        }

        return record;
    }

    private OwnerRecord? With(byte tag, ReadOnlySpan<byte> value)
    {
        switch (tag)
        {
            case ResumeTokenTag:
                return BinaryPrimitives.TryReadUInt64LittleEndian(value, out ulong token) ? this with { ResumeToken = token } : null;
            case SessionIdTag:
                return BinaryPrimitives.TryReadInt64LittleEndian(value, out long id) ? this with { SessionId = id } : null;
            case SourceOffsetTag:
                return BinaryPrimitives.TryReadInt64LittleEndian(value, out long offset) ? this with { SourceOffset = offset } : null;
            case RemoveMeansSourceTag:
                return value.Length == 1 ? this with { RemoveMeansSource = value[0] != 0 } : null;
            case SourceIdentityTag:
                return this with { SourceIdentity = Encoding.UTF8.GetString(value) };
            case SnapshotTag:
                return this with { Snapshot = Encoding.UTF8.GetString(value) };
            case SnapshotPeerTag:
                return BinaryPrimitives.TryReadInt64LittleEndian(value, out long peer) ? this with { SnapshotPeer = peer } : null;
            case ImagesTag:
                List<long> images = [];
                long last = 0;
                while (!value.IsEmpty)
                {
                    if (!TryReadVariable(ref value, out ulong difference))
                        return null;
                    images.Add(last += (long)difference);
                }

                return this with { Images = images };
            default:
                return this;
        }
    }

    private static void Add(List<byte> bytes, byte tag, ReadOnlySpan<byte> value)
    {
        bytes.Add(tag);
        AddVariable(bytes, (ulong)value.Length);
        bytes.AddRange(value);
    }

    private static void AddVariable(List<byte> bytes, ulong number)
    {
        for (; number >= 0x80; number >>= 7)
            bytes.Add((byte)(number | 0x80));
        bytes.Add((byte)number);
    }

    private static bool TryReadVariable(ref ReadOnlySpan<byte> bytes, out ulong number)
    {
        number = 0;
        for (int shift = 0; shift < 64 && !bytes.IsEmpty; shift += 7)
        {
            byte next = bytes[0];
            bytes = bytes[1..];
            number |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
                return true;
        }

        return false;
    }
}
