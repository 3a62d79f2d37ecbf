using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>
/// The documents of one session in its state memory: what its regions' policies, sources and images are. A chain of blocks, one document each, known by
/// the block's place in the chain. JSON, so that one build reads what another has written.
/// </summary>
internal sealed class StateDocuments
{
    /// <summary>Longest document, bytes.</summary>
    public const int MaximumBytes = StateLayout.LargeBlock - PayloadAt;

    private const int TagAt = 8;
    private const int PayloadAt = 16;

    private readonly StateMemory _memory;
    private readonly List<nuint> _blocks = [];
    private readonly Dictionary<object, int> _ordinals = new(ReferenceEqualityComparer.Instance);
    private readonly List<(object? Subject, int Uses)> _uses = [];
    private readonly Stack<int> _unused = new();

    public StateDocuments(StateMemory memory) => _memory = memory;

    /// <summary>One more use of what a subject is described by; writes the document at the first.</summary>
    /// <param name="subject">Policy, source or image.</param>
    /// <param name="kind">Which.</param>
    /// <param name="write">Makes the document's bytes.</param>
    /// <returns>The document's ordinal, or -1 when there is no memory for it.</returns>
    public int Use(object subject, DocumentKind kind, Func<byte[]> write)
    {
        if (_ordinals.TryGetValue(subject, out int ordinal))
        {
            _uses[ordinal] = (subject, _uses[ordinal].Uses + 1);
            return ordinal;
        }

        byte[] bytes = write();
        if (bytes.Length > MaximumBytes || (!_unused.TryPop(out ordinal) && (ordinal = TryExtend()) < 0))
        {
            return -1;
        }

        bytes.CopyTo(NativePages.AsSpan(_blocks[ordinal] + PayloadAt, bytes.Length));
        Volatile.Write(ref NativePages.At<ulong>(_blocks[ordinal] + TagAt), TagOf(kind, bytes));
        _ordinals[subject] = ordinal;
        _uses[ordinal] = (subject, 1);
        return ordinal;
    }

    /// <summary>One use less; the last one unmakes the document.</summary>
    public void Release(int ordinal)
    {
        (object? subject, int uses) = _uses[ordinal];
        _uses[ordinal] = (subject, uses - 1);
        if (uses == 1)
        {
            Volatile.Write(ref NativePages.At<ulong>(_blocks[ordinal] + TagAt), 0);
            _ordinals.Remove(subject!);
            _uses[ordinal] = (null, 0);
            _unused.Push(ordinal);
        }
    }

    /// <summary>Reads what another manager left behind, by ordinal.</summary>
    /// <exception cref="CorruptStateException">Something does not check.</exception>
    public List<(DocumentKind Kind, byte[] Bytes)> Recover(UsedBlocks used)
    {
        List<(DocumentKind Kind, byte[] Bytes)> found = [];
        nuint link = _memory.Base + StateLayout.DocumentCell;
        while (_memory.ReadCheckedCell(link) is ulong offset and not 0)
        {
            used.Mark(offset, StateLayout.LargeBlock);
            link = _memory.AddressOf(offset);
            _blocks.Add(link);
            _uses.Add((null, 0));
            ulong tag = NativePages.At<ulong>(link + TagAt);
            int length = (int)((tag >> 8) & 0xffff);
            if (tag != 0 && length > MaximumBytes)
            {
                throw new CorruptStateException("a document is longer than its block");
            }

            byte[] bytes = NativePages.AsSpan(link + PayloadAt, length).ToArray();
            if (tag != 0 && tag != TagOf((DocumentKind)(tag & 0xff), bytes))
            {
                throw new CorruptStateException("a document does not check");
            }

            found.Add(((DocumentKind)(tag & 0xff), bytes));
        }

        return found;
    }

    /// <summary>Tells who is described by a recovered document.</summary>
    public void Bind(int ordinal, object subject)
    {
        _ordinals[subject] = ordinal;
        _uses[ordinal] = (subject, 0);
    }

    /// <summary>Ends the recovery: documents that nothing uses make room.</summary>
    public void DropUnused()
    {
        for (int ordinal = 0; ordinal < _blocks.Count; ordinal++)
        {
            if (_uses[ordinal].Uses == 0)
            {
                Volatile.Write(ref NativePages.At<ulong>(_blocks[ordinal] + TagAt), 0);
                if (_uses[ordinal].Subject is object subject)
                {
                    _ordinals.Remove(subject);
                }

                _uses[ordinal] = (null, 0);
                _unused.Push(ordinal);
            }
        }
    }

    private static ulong TagOf(DocumentKind kind, byte[] bytes) => (uint)kind | ((ulong)bytes.Length << 8) | ((ulong)StateChecks.Crc(bytes) << 32);

    private int TryExtend()
    {
        nuint block = _memory.TryAllocate(StateMemory.LargeKind);
        if (block == 0)
        {
            return -1;
        }

        nuint link = _blocks.Count == 0 ? _memory.Base + StateLayout.DocumentCell : _blocks[^1];
        StateMemory.WriteCell(link, _memory.OffsetOf(block));
        _blocks.Add(block);
        _uses.Add((null, 0));
        return _blocks.Count - 1;
    }
}
