using System.Text.Json;
using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>One of the two copies of a session's record: sequence, check and length, then JSON.</summary>
internal static class SessionRecordCopy
{
    private const int SequenceAt = 0;
    private const int CheckAt = 8;
    private const int LengthAt = 12;
    private const int PayloadAt = 16;

    /// <summary>Writes a copy; false when the record is too long for it.</summary>
    public static bool TryWrite(nuint copy, long sequence, byte[] bytes)
    {
        if (bytes.Length > StateLayout.RecordBytes - PayloadAt)
        {
            return false;
        }

        // Void while it is being written.
        Volatile.Write(ref NativePages.At<long>(copy + SequenceAt), 0);
        bytes.CopyTo(NativePages.AsSpan(copy + PayloadAt, bytes.Length));
        NativePages.At<int>(copy + LengthAt) = bytes.Length;
        NativePages.At<uint>(copy + CheckAt) = StateChecks.Crc(bytes) ^ (uint)sequence;
        Volatile.Write(ref NativePages.At<long>(copy + SequenceAt), sequence);
        return true;
    }

    /// <summary>The newer one of the copies that check.</summary>
    /// <exception cref="CorruptStateException">Neither does.</exception>
    public static (SessionRecord Record, long Sequence) Newest(StateMemory memory)
    {
        (byte[] Bytes, long Sequence)? newest = null;
        foreach (int at in (ReadOnlySpan<int>)[StateLayout.RecordA, StateLayout.RecordB])
        {
            if (TryRead(memory.Base + (nuint)at) is (byte[], long) found && (newest is null || found.Sequence > newest.Value.Sequence))
            {
                newest = found;
            }
        }

        try
        {
            if (newest is (byte[] bytes, long sequence) && JsonSerializer.Deserialize(bytes, StateJson.Default.SessionRecord) is SessionRecord record)
            {
                return (record, sequence);
            }
        }
        catch (JsonException failure)
        {
            throw new CorruptStateException($"the session's record cannot be read: {failure.Message}");
        }

        throw new CorruptStateException("the session's record does not check");
    }

    private static (byte[] Bytes, long Sequence)? TryRead(nuint copy)
    {
        long sequence = NativePages.At<long>(copy + SequenceAt);
        int length = NativePages.At<int>(copy + LengthAt);
        if (sequence <= 0 || length is <= 0 or > StateLayout.RecordBytes - PayloadAt)
        {
            return null;
        }

        byte[] bytes = NativePages.AsSpan(copy + PayloadAt, length).ToArray();
        return NativePages.At<uint>(copy + CheckAt) == (StateChecks.Crc(bytes) ^ (uint)sequence) ? (bytes, sequence) : null;
    }
}
