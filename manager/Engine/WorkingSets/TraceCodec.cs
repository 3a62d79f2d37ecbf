using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// The bytes of a trace. Version 1, numbers little endian:
/// <list type="bullet">
/// <item>"UFFDTRCE", u16 version, u16 flags (1: relearn), u32 bytes of a page;</item>
/// <item>what it is of: u64 device, u64 inode, i64 size, i64 time of change, u16 length and UTF-8 of the tenant's name;</item>
/// <item>u32 runs, u32 observed milliseconds, u32 probes judged, u32 probes touched, u32 pages;</item>
/// <item>runs of pages that agree in score and time: pages left out since the run before, pages less one (both as numbers of 7 bits a byte, lowest first), a byte of
/// score, a byte of time;</item>
/// <item>SHA-256 of all that stands before.</item>
/// </list>
/// </summary>
internal static class TraceCodec
{
    /// <summary>No trace is larger.</summary>
    public const int MaximumBytes = 4 * 1024 * 1024;

    private const ushort Version = 1;
    private const ushort RelearnFlag = 1;
    private const int HeaderBytes = 70;
    private const int LongestRun = 12;

    private static ReadOnlySpan<byte> Magic => "UFFDTRCE"u8;

    public static byte[] Encode(in TraceKey key, Trace trace)
    {
        byte[] tenant = Encoding.UTF8.GetBytes(key.Tenant);
        byte[] buffer = new byte[HeaderBytes + tenant.Length + (trace.Entries.Length * LongestRun) + SHA256.HashSizeInBytes];
        Writer writer = new(buffer);
        writer.Bytes(Magic);
        writer.U16(Version);
        writer.U16(trace.Relearn ? RelearnFlag : (ushort)0);
        writer.U32((uint)key.PageBytes);
        writer.U64(key.Source.Device);
        writer.U64(key.Source.Inode);
        writer.U64((ulong)key.Source.Size);
        writer.U64((ulong)key.Source.ModifiedNanoseconds);
        writer.U16((ushort)tenant.Length);
        writer.Bytes(tenant);
        writer.U32((uint)trace.Runs);
        writer.U32((uint)trace.ObservedMilliseconds);
        writer.U32((uint)trace.ProbesJudged);
        writer.U32((uint)trace.ProbesTouched);
        writer.U32((uint)trace.Entries.Length);
        WriteRuns(ref writer, trace.Entries);
        writer.Bytes(SHA256.HashData(buffer.AsSpan(0, writer.Position)));
        return buffer[..writer.Position];
    }

    /// <summary>Reads what <see cref="Encode"/> wrote.</summary>
    /// <param name="bytes">From anywhere: nothing of them is believed.</param>
    /// <param name="key">What the trace must be of.</param>
    /// <param name="reason">Why it is none, in words for an operator.</param>
    /// <returns>Null when it is not a trace of this key.</returns>
    public static Trace? TryDecode(ReadOnlySpan<byte> bytes, in TraceKey key, out string reason)
    {
        reason = "it is damaged";
        if (bytes.Length < Magic.Length + SHA256.HashSizeInBytes || bytes.Length > MaximumBytes || !bytes.StartsWith(Magic))
        {
            reason = "it is not a trace";
            return null;
        }

        Reader reader = new(bytes[..^SHA256.HashSizeInBytes]) { Position = Magic.Length };
        if (!reader.U16(out ushort version) || version != Version)
        {
            reason = $"it is of version {version}, known is {Version}";
            return null;
        }

        if (!SHA256.HashData(bytes[..^SHA256.HashSizeInBytes]).AsSpan().SequenceEqual(bytes[^SHA256.HashSizeInBytes..]))
        {
            return null;
        }

        if (!reader.U16(out ushort flags) || !TryReadKey(ref reader, out TraceKey found))
        {
            return null;
        }

        if (found != key)
        {
            reason = found with { Source = key.Source } == key
                ? "it is of other contents: the file has changed since, or is another one"
                : "it is of another tenant or page size";
            return null;
        }

        return reader.U32(out uint runs) && reader.U32(out uint observed) && reader.U32(out uint judged) && reader.U32(out uint touched)
            && reader.U32(out uint pages) && runs <= Trace.MaximumCount && judged <= Trace.MaximumCount && touched <= judged
            && TryReadRuns(ref reader, pages, key.Pages) is TraceEntry[] entries
            ? new Trace
            {
                Entries = entries,
                Runs = (int)runs,
                ObservedMilliseconds = observed,
                Relearn = (flags & RelearnFlag) != 0,
                ProbesJudged = (int)judged,
                ProbesTouched = (int)touched,
            }
            : null;
    }

    private static void WriteRuns(ref Writer writer, TraceEntry[] entries)
    {
        long next = 0;
        for (int i = 0; i < entries.Length;)
        {
            int end = i + 1;
            while (end < entries.Length && entries[end] == entries[i] with { Page = entries[i].Page + (uint)(end - i) })
            {
                end++;
            }

            writer.Number((ulong)(entries[i].Page - next));
            writer.Number((ulong)(end - i - 1));
            writer.Byte(entries[i].Score);
            writer.Byte(entries[i].Time);
            next = (long)entries[end - 1].Page + 1;
            i = end;
        }
    }

    private static bool TryReadKey(ref Reader reader, out TraceKey key)
    {
        key = default;
        if (!reader.U32(out uint pageBytes) || !reader.U64(out ulong device) || !reader.U64(out ulong inode) || !reader.U64(out ulong size)
            || !reader.U64(out ulong modified) || !reader.U16(out ushort length) || !reader.Bytes(length, out ReadOnlySpan<byte> tenant))
        {
            return false;
        }

        key = new TraceKey(Encoding.UTF8.GetString(tenant), new Sources.SourceIdentity(device, inode, (long)size, (long)modified), (int)pageBytes);
        return true;
    }

    private static TraceEntry[]? TryReadRuns(ref Reader reader, uint pages, long sourcePages)
    {
        if (pages > Trace.MaximumPages)
        {
            return null;
        }

        TraceEntry[] entries = new TraceEntry[pages];
        long next = 0;
        for (int i = 0; i < entries.Length;)
        {
            if (!reader.Number(out ulong gap) || !reader.Number(out ulong more) || !reader.Byte(out byte score) || !reader.Byte(out byte time)
                || gap > uint.MaxValue || more >= (ulong)(entries.Length - i) || score == 0 || time > TraceTime.Maximum
                || next + (long)gap + (long)more >= Math.Min(sourcePages, uint.MaxValue))
            {
                return null;
            }

            next += (long)gap;
            for (ulong j = 0; j <= more; j++)
            {
                entries[i++] = new TraceEntry((uint)next++, score, time);
            }
        }

        return reader.IsAtEnd ? entries : null;
    }

    private ref struct Writer(Span<byte> into)
    {
        private readonly Span<byte> _into = into;

        public int Position { get; private set; }

        public void Bytes(ReadOnlySpan<byte> bytes)
        {
            bytes.CopyTo(_into[Position..]);
            Position += bytes.Length;
        }

        public void Byte(byte value) => _into[Position++] = value;

        public void U16(ushort value)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(_into[Position..], value);
            Position += sizeof(ushort);
        }

        public void U32(uint value)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(_into[Position..], value);
            Position += sizeof(uint);
        }

        public void U64(ulong value)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(_into[Position..], value);
            Position += sizeof(ulong);
        }

        public void Number(ulong value)
        {
            for (; value >= 0x80; value >>= 7)
            {
                Byte((byte)(value | 0x80));
            }

            Byte((byte)value);
        }
    }

    private ref struct Reader(ReadOnlySpan<byte> from)
    {
        private readonly ReadOnlySpan<byte> _from = from;

        public int Position { get; set; }

        public readonly bool IsAtEnd => Position == _from.Length;

        public bool Bytes(int count, out ReadOnlySpan<byte> bytes)
        {
            bytes = default;
            if (_from.Length - Position < count)
            {
                return false;
            }

            bytes = _from.Slice(Position, count);
            Position += count;
            return true;
        }

        public bool Byte(out byte value)
        {
            bool isThere = Bytes(1, out ReadOnlySpan<byte> bytes);
            value = isThere ? bytes[0] : (byte)0;
            return isThere;
        }

        public bool U16(out ushort value)
        {
            bool isThere = Bytes(sizeof(ushort), out ReadOnlySpan<byte> bytes);
            value = isThere ? BinaryPrimitives.ReadUInt16LittleEndian(bytes) : (ushort)0;
            return isThere;
        }

        public bool U32(out uint value)
        {
            bool isThere = Bytes(sizeof(uint), out ReadOnlySpan<byte> bytes);
            value = isThere ? BinaryPrimitives.ReadUInt32LittleEndian(bytes) : 0;
            return isThere;
        }

        public bool U64(out ulong value)
        {
            bool isThere = Bytes(sizeof(ulong), out ReadOnlySpan<byte> bytes);
            value = isThere ? BinaryPrimitives.ReadUInt64LittleEndian(bytes) : 0;
            return isThere;
        }

        public bool Number(out ulong value)
        {
            value = 0;
            for (int shift = 0; shift < 63; shift += 7)
            {
                if (!Byte(out byte part))
                {
                    return false;
                }

                value |= (ulong)(part & 0x7f) << shift;
                if (part < 0x80)
                {
                    return true;
                }
            }

            return false;
        }
    }
}
