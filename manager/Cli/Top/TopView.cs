using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Top;

/// <summary>One picture of <c>uffdctl top</c>: three lines of sums, the tenants, the sessions.</summary>
internal static class TopView
{
    private const int LeastSessionRows = 3;

    private static readonly string[] s_help =
    [
        "q, Esc           quit",
        "s, right, left   order by the next or previous column",
        "r                turn the order round",
        "up, down, PgUp, PgDn, Home, End   scroll the sessions",
        "space, p         pause and go on",
        "h, ?             this help",
    ];

    /// <summary>The lines of the picture.</summary>
    /// <param name="frame">What the manager says; null before it has said anything.</param>
    /// <param name="state">What the user wants to see; what was scrolled too far is put right.</param>
    /// <param name="width">Columns; null for no limit.</param>
    /// <param name="height">Lines; null for no limit, and then nothing is said of keys.</param>
    /// <param name="palette">Colours.</param>
    public static IReadOnlyList<string> Render(TopFrameDto? frame, TopState state, int? width, int? height, Palette palette)
    {
        List<string> lines = [];
        if (state.Trouble is { } trouble)
            lines.Add(palette.Paint(Style.Bad, Cut(trouble, width)));
        if (frame is null)
            return lines.Count > 0 ? lines : ["Waiting for the first numbers…"];

        lines.AddRange(Sums(frame, state).Select(line => Cut(line, width)));
        lines.Add("");
        if (state.ShowsHelp && height is not null)
        {
            lines.AddRange(s_help.Select(line => Cut(line, width)));
            return Clip(lines, height);
        }

        string[] tenants = [.. Tenants(frame).Render(width, palette)];
        // The tenants yield to the sessions on a small screen: at most a third of it.
        int tenantLines = height is { } all ? Math.Min(tenants.Length, Math.Max(2, all / 3)) : tenants.Length;
        lines.AddRange(tenants[..tenantLines]);
        lines.Add("");

        TopSessionDto[] sessions = [.. state.Sort.Order(frame.Sessions, state.IsReversed)];
        int rows = Math.Min(state.Rows ?? int.MaxValue, height is { } limit ? Math.Max(LeastSessionRows, limit - lines.Count - 2) : int.MaxValue);
        state.Scroll = Math.Clamp(state.Scroll, 0, Math.Max(0, sessions.Length - rows));
        lines.AddRange(Sessions(sessions.Skip(state.Scroll).Take(rows), state).Render(width, palette));
        if (height is not null)
            lines.Add(palette.Paint(Style.Faint, Cut(Footer(frame, state, sessions.Length, rows), width)));
        return Clip(lines, height);
    }

    /// <summary>Rows of sessions that fit on a screen of so many lines, about: how far a page scrolls.</summary>
    public static int PageOf(int height) => Math.Max(1, (height / 2) - 1);

    private static IEnumerable<string> Sums(TopFrameDto frame, TopState state)
    {
        TopTenantDto total = frame.Total;
        string time = DateTimeOffset.TryParse(frame.At, out DateTimeOffset at) ? $"{at.UtcDateTime:HH:mm:ss}Z" : Text.Clean(frame.At);
        string pause = state.IsPaused ? ", PAUSED" : "";
        yield return $"{time}  {Text.Clean(frame.Phase)}, {total.Sessions} sessions of {frame.Tenants.Count} tenants, every {Units.Time(frame.IntervalSeconds * 1e9)}{pause}";
        yield return $"Faults {Units.Rate(total.FaultsPerSecond)}/s, p50 {Words.Percentile(total.P50Nanoseconds).Text}, p99 {Words.Percentile(total.P99Nanoseconds).Text}, "
            + $"copied {Units.Bytes(total.CopiedBytesPerSecond)}/s, zeros {Units.Bytes(total.ZeroedBytesPerSecond)}/s, "
            + $"deferred {Units.Rate(total.DeferralsPerSecond)}/s";
        yield return $"Resident {Units.Bytes(total.ResidentBytes)} of {Units.Bytes(total.RegisteredBytes)}, in flight {total.PagesInFlight}, queue {total.Queue}, "
            + $"loops {string.Join(' ', frame.Loops.Select(loop => Units.Percent(loop.BusyRatio, 1)))}";
    }

    private static Table Tenants(TopFrameDto frame)
    {
        Table table = new(
            new("TENANT", Shrink: 8), new("SESSIONS", Right: true), new("FAULTS/S", Right: true), new("P50", 3, Right: true), new("P99", 1, Right: true),
            new("COPIED/S", 4, Right: true), new("ZEROED/S", 5, Right: true), new("DEFERRED/S", 6, Right: true), new("RESIDENT", Right: true),
            new("REGISTERED", 2, Right: true), new("INFLIGHT", 5, Right: true), new("QUEUE", 1, Right: true));
        foreach (TopTenantDto tenant in frame.Tenants)
        {
            table.Add(
                tenant.Name, tenant.Sessions, Units.Rate(tenant.FaultsPerSecond), Words.Percentile(tenant.P50Nanoseconds),
                Words.Percentile(tenant.P99Nanoseconds), Units.Bytes(tenant.CopiedBytesPerSecond), Units.Bytes(tenant.ZeroedBytesPerSecond),
                Units.Rate(tenant.DeferralsPerSecond), Units.Bytes(tenant.ResidentBytes), Units.Bytes(tenant.RegisteredBytes), tenant.PagesInFlight,
                tenant.Queue);
        }

        return table;
    }

    private static Table Sessions(IEnumerable<TopSessionDto> sessions, TopState state)
    {
        Table table = new(
        [
            .. new Column[]
            {
                new("ID", Right: true), new("PID", 2, Right: true), new("COMMAND", Shrink: 8), new("TENANT", 1, Shrink: 8), new("STATE", 2),
                new("FAULTS/S", Right: true), new("P50", 4, Right: true), new("P99", 1, Right: true), new("COPIED/S", 5, Right: true),
                new("ZEROED/S", 6, Right: true), new("RESIDENT", Right: true), new("REGISTERED", 3, Right: true), new("INFLIGHT", 7, Right: true),
                new("QUEUE", 1, Right: true), new("POLICY", 8, Shrink: 6), new("LABEL", 9, Shrink: 6),
            }.Select(column => Marked(column, state)),
        ]);
        foreach (TopSessionDto session in sessions)
        {
            table.Add(
                session.Id, session.Pid, session.Command, session.Tenant, Words.SessionState(session.State), Units.Rate(session.FaultsPerSecond),
                Words.Percentile(session.P50Nanoseconds), Words.Percentile(session.P99Nanoseconds), Units.Bytes(session.CopiedBytesPerSecond),
                Units.Bytes(session.ZeroedBytesPerSecond), Units.Bytes(session.ResidentBytes), Units.Bytes(session.RegisteredBytes),
                session.PagesInFlight, session.Queue, session.Policy, session.Label);
        }

        return table;
    }

    // The column that orders is marked, and stays however narrow it becomes.
    private static Column Marked(Column column, TopState state) => column.Header != state.Sort.Column
        ? column
        : column with { Header = column.Header + (state.Sort.Descending != state.IsReversed ? "▼" : "▲"), Rank = 0 };

    private static string Footer(TopFrameDto frame, TopState state, int sessions, int rows)
    {
        int last = Math.Min(sessions, state.Scroll + rows);
        string all = frame.Total.Sessions > sessions ? $"{sessions} busiest of {frame.Total.Sessions}" : $"{sessions}";
        string range = sessions == 0 ? "no sessions" : $"{state.Scroll + 1}-{last} of {all}";
        return $"{range}  q quit  s/←/→ order  r reverse  ↑/↓ scroll  space pause  h help";
    }

    private static string Cut(string text, int? width) => width is { } columns ? Text.Fit(text, columns) : text;

    private static List<string> Clip(List<string> lines, int? height) => height is { } limit && lines.Count > limit ? lines[..limit] : lines;
}
