namespace UffdManager.Engine.WorkingSets;

/// <summary>Learns from a run. A page's absence counts only where it was seen: see <see cref="IsMissed"/>.</summary>
internal static class TraceMerge
{
    // So many probes say something; less than half of them touched, and on demand is the better way to start.
    private const int EnoughProbes = 8;

    public static Trace Apply(Trace? before, RunReport run)
    {
        List<TraceEntry> touched = Touched(run);
        List<TraceEntry> merged = new(Math.Min(Trace.MaximumPages, touched.Count + (before?.Entries.Length ?? 0)));
        ReadOnlySpan<TraceEntry> known = before is null ? [] : before.Entries;
        int next = 0;
        foreach (TraceEntry touch in touched)
        {
            while (next < known.Length && known[next].Page < touch.Page)
            {
                KeepOrDecay(merged, known[next++], run);
            }

            if (next < known.Length && known[next].Page == touch.Page)
            {
                TraceEntry entry = known[next++];
                merged.Add(new TraceEntry(entry.Page, TraceScores.Used(entry.Score), Math.Min(entry.Time, touch.Time)));
            }
            else
            {
                // What no earlier run lived to see is not held against a page.
                bool isNew = before is null || TraceTime.End(touch.Time) > before.ObservedMilliseconds;
                merged.Add(touch with { Score = isNew ? TraceScores.First : TraceScores.Candidate });
            }
        }

        while (next < known.Length)
        {
            KeepOrDecay(merged, known[next++], run);
        }

        if (merged.Count > Trace.MaximumPages)
        {
            merged.RemoveAll(static entry => !entry.IsReplayed);
            merged.RemoveRange(Math.Min(merged.Count, Trace.MaximumPages), Math.Max(0, merged.Count - Trace.MaximumPages));
        }

        return Judge(before, run, touched) with { Entries = [.. merged] };
    }

    private static Trace Judge(Trace? before, RunReport run, List<TraceEntry> touched)
    {
        Trace after = new()
        {
            Entries = [],
            Runs = Math.Min((before?.Runs ?? 0) + 1, Trace.MaximumCount),
            ObservedMilliseconds = Math.Max(before?.ObservedMilliseconds ?? 0, run.Milliseconds),
        };
        if (before is null || run.Replayed is null)
        {
            return after;
        }

        (int judged, int hit) = Probes(run, touched);
        judged += before.ProbesJudged * 3 / 4;
        hit += before.ProbesTouched * 3 / 4;
        return run.IsReplayUseless || (judged >= EnoughProbes && hit * 2 < judged)
            ? after with { Relearn = true }
            : after with { ProbesJudged = judged, ProbesTouched = hit, Relearn = before.Relearn };
    }

    private static (int Judged, int Touched) Probes(RunReport run, List<TraceEntry> touched)
    {
        int judged = 0;
        int hit = 0;
        int next = 0;
        foreach (TraceEntry entry in run.Replayed!.Entries)
        {
            if (!entry.IsReplayed || !Trace.IsProbe(entry.Page, run.Number) || !IsShown(run, entry.Page))
            {
                continue;
            }

            while (next < touched.Count && touched[next].Page < entry.Page)
            {
                next++;
            }

            bool isTouched = next < touched.Count && touched[next].Page == entry.Page;
            hit += isTouched ? 1 : 0;
            judged += isTouched || run.Milliseconds >= TraceTime.End(entry.Time) ? 1 : 0;
        }

        return (judged, hit);
    }

    private static void KeepOrDecay(List<TraceEntry> merged, TraceEntry entry, RunReport run)
    {
        byte score = IsMissed(entry, run) ? TraceScores.Unused(entry.Score) : entry.Score;
        if (score > 0)
        {
            merged.Add(entry with { Score = score });
        }
    }

    // Not touched although it could be seen, and although the run lived to the time when it was needed before. A page that a replay installed cannot be
    // seen.
    private static bool IsMissed(in TraceEntry entry, RunReport run)
    {
        if (run.Milliseconds < TraceTime.End(entry.Time) || !IsShown(run, entry.Page))
        {
            return false;
        }

        int index = run.Replayed?.IndexOf(entry.Page) ?? -1;
        return index < 0 || !ReplayPlan.IsPlanned(run.Replayed!.Entries[index], run.Number);
    }

    private static bool IsShown(RunReport run, uint page)
    {
        foreach (PageWindow window in run.Windows)
        {
            if (window.Contains(page))
            {
                return true;
            }
        }

        return false;
    }

    // Each page once, by its earliest touch.
    private static List<TraceEntry> Touched(RunReport run)
    {
        List<TraceEntry> all = new(run.Touches.Count);
        foreach (Touch touch in run.Touches.All())
        {
            byte time = TraceTime.From(touch.Milliseconds);
            for (uint i = 0; i < touch.Pages; i++)
            {
                all.Add(new TraceEntry(touch.Page + i, 0, time));
            }
        }

        all.Sort(static (a, b) => a.Page != b.Page ? a.Page.CompareTo(b.Page) : a.Time.CompareTo(b.Time));
        List<TraceEntry> once = new(all.Count);
        foreach (TraceEntry entry in all)
        {
            if (once.Count == 0 || once[^1].Page != entry.Page)
            {
                once.Add(entry);
            }
        }

        return once;
    }
}
