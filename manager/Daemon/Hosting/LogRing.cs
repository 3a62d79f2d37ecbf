namespace UffdManager.Daemon.Hosting;

/// <summary>The last lines of the log, for a support archive: whoever reports trouble has not always kept the log. Any thread.</summary>
internal sealed class LogRing
{
    /// <summary>Lines kept.</summary>
    public const int MaximumLines = 2000;

    /// <summary>Characters kept, of all lines together.</summary>
    public const int MaximumCharacters = 1 << 19;

    /// <summary>Of one line; the rest is cut off.</summary>
    public const int LongestLine = 4096;

    private readonly Lock _gate = new();
    private readonly Queue<string> _lines = new();
    private int _characters;

    public void Add(string line)
    {
        string kept = line.Length > LongestLine ? line[..LongestLine] + "…" : line;
        lock (_gate)
        {
            _lines.Enqueue(kept);
            _characters += kept.Length;
            while (_lines.Count > MaximumLines || _characters > MaximumCharacters)
                _characters -= _lines.Dequeue().Length;
        }
    }

    /// <summary>The lines, the oldest first.</summary>
    public IReadOnlyList<string> Lines()
    {
        lock (_gate)
            return [.. _lines];
    }
}
