using UffdManager.Engine.Policies;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// What a replay installs, in its order: pages that were needed at about the same time are sorted by place, and neighbours are taken in one
/// copy. Immutable.
/// </summary>
internal sealed class ReplayPlan
{
    // Of a run that is in its first moments everything is urgent; what comes after a second can wait for all the rest.
    private static readonly byte[] s_phases = [TraceTime.From(32), TraceTime.From(256), TraceTime.From(2048)];

    private ReplayPlan(Extent[] extents, long pages, int probes, bool isCut)
    {
        Extents = extents;
        Probes = probes;
        Pages = pages;
        IsCut = isCut;
    }

    public Extent[] Extents { get; }

    public long Pages { get; }

    /// <summary>Pages that are left out to see whether they are touched.</summary>
    public int Probes { get; }

    /// <summary>Whether the limit of bytes left something out.</summary>
    public bool IsCut { get; }

    /// <summary>Plans the replay of one region.</summary>
    /// <param name="trace">What to replay.</param>
    /// <param name="run">Number of the run, which chooses the probes.</param>
    /// <param name="window">What the region shows.</param>
    /// <param name="mostPages">Pages that may be installed.</param>
    /// <param name="longest">Pages of one copy.</param>
    public static ReplayPlan Make(Trace trace, int run, PageWindow window, long mostPages, int longest)
    {
        List<(int Phase, Extent Extent)> found = [];
        int probes = 0;
        for (int i = 0; i < trace.Entries.Length; i++)
        {
            TraceEntry entry = trace.Entries[i];
            if (!entry.IsReplayed || !window.Contains(entry.Page))
            {
                continue;
            }

            if (Trace.IsProbe(entry.Page, run))
            {
                probes++;
                continue;
            }

            int phase = PhaseOf(entry.Time);
            if (found.Count > 0 && found[^1] is var (before, extent) && extent.Page + extent.Pages == entry.Page && extent.Pages < longest)
            {
                found[^1] = (Math.Min(before, phase), extent with { Pages = extent.Pages + 1 });
            }
            else
            {
                found.Add((phase, new Extent(entry.Page, 1)));
            }
        }

        found.Sort(static (a, b) => a.Phase != b.Phase ? a.Phase.CompareTo(b.Phase) : a.Extent.Page.CompareTo(b.Extent.Page));
        return Cut(found, mostPages, probes);
    }

    /// <summary>Whether a replay installs a page of a trace.</summary>
    public static bool IsPlanned(in TraceEntry entry, int run) => entry.IsReplayed && !Trace.IsProbe(entry.Page, run);

    private static ReplayPlan Cut(List<(int Phase, Extent Extent)> found, long mostPages, int probes)
    {
        List<Extent> extents = new(found.Count);
        long pages = 0;
        foreach ((_, Extent extent) in found)
        {
            int take = (int)Math.Min(extent.Pages, mostPages - pages);
            if (take > 0)
            {
                extents.Add(extent with { Pages = take });
                pages += take;
            }

            if (take < extent.Pages)
            {
                return new ReplayPlan([.. extents], pages, probes, isCut: true);
            }
        }

        return new ReplayPlan([.. extents], pages, probes, isCut: false);
    }

    private static int PhaseOf(byte time)
    {
        int phase = 0;
        while (phase < s_phases.Length && time >= s_phases[phase])
        {
            phase++;
        }

        return phase;
    }
}
