using UffdManager.Engine.Loops;
using UffdManager.Engine.Sessions;

namespace UffdManager.Engine.Tracking;

/// <summary>Collects the changed pages of a session, and with reset protects them again.</summary>
internal sealed class DirtyPagesCommand(Session session, ulong from, int limit, bool reset, PresenceMap? presence, bool isAsynchronous) : SlicedCommand
{
    private readonly List<DirtyRun> _runs = [];

    /// <summary>Whose.</summary>
    public Session Session { get; } = session;

    /// <summary>Whether what is told counts as unchanged from then on.</summary>
    public bool IsReset { get; } = reset;

    /// <summary>Where its memory is; null when nothing is to be protected, nor asked of the kernel.</summary>
    public PresenceMap? Presence { get; } = presence;

    /// <summary>Whether the kernel notes itself what was written.</summary>
    public bool IsAsynchronous { get; } = isAsynchronous;

    /// <summary>Everything below is told.</summary>
    public ulong Cursor { get; set; } = from;

    /// <summary>Up to where the kernel's notes were read.</summary>
    public ulong ReadUpTo { get; set; } = from;

    /// <summary>By address.</summary>
    public IReadOnlyList<DirtyRun> Runs => _runs;

    /// <summary>Where to go on, when there are more than asked for.</summary>
    public ulong? Next { get; set; }

    /// <summary>Whether one more run that begins here would be too many.</summary>
    public bool IsFull(ulong start, ulong pageBytes) => _runs.Count >= limit && !Continues(start, pageBytes);

    /// <summary>Adds a run, to the last one where it continues that.</summary>
    public void Add(ulong start, ulong end, ulong pageBytes)
    {
        if (Continues(start, pageBytes))
        {
            DirtyRun last = _runs[^1];
            _runs[^1] = last with { Length = end - last.Start };
        }
        else
        {
            _runs.Add(new DirtyRun(start, end - start, pageBytes));
        }
    }

    protected override WriteProtectStep Step(FaultLoop loop, out EngineResult? failure) => loop.CollectDirty(this, out failure);

    private bool Continues(ulong start, ulong pageBytes) =>
        _runs.Count > 0 && _runs[^1].PageBytes == pageBytes && _runs[^1].Start + _runs[^1].Length == start;
}
