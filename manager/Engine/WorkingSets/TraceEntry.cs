namespace UffdManager.Engine.WorkingSets;

/// <summary>One page of a trace.</summary>
/// <param name="Page">Its number in the source.</param>
/// <param name="Score">How sure it is to be needed, 1..255; see <see cref="TraceScores"/>.</param>
/// <param name="Time">Earliest first touch since the start of a run, see <see cref="TraceTime"/>.</param>
internal readonly record struct TraceEntry(uint Page, byte Score, byte Time)
{
    /// <summary>Whether a replay installs it.</summary>
    public bool IsReplayed => Score >= TraceScores.Replayed;
}
