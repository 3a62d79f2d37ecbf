using System.Globalization;
using System.Text;
using UffdManager.Control;

namespace UffdManager.Cli.Output;

/// <summary>A region drawn as text: one character per cell, the address of its first cell before each line, and a legend with numbers.</summary>
internal sealed class RegionMap(RegionMapDto map)
{
    private const int WidestLine = 64;

    // In the order in which one shows when a cell has several: what wants attention first.
    private static readonly (char Symbol, string Name, Style Style, Func<RegionMapDto, IReadOnlyList<long>> Pages)[] s_states =
    [
        ('X', "poisoned", Style.Bad, map => map.Poisoned),
        ('>', "in flight", Style.Warning, map => map.InFlight),
        ('e', "evicted", Style.Warning, map => map.Evicted),
    ];

    /// <exception cref="CommandException">The document contradicts itself.</exception>
    public IEnumerable<string> Render(int? width, Palette palette)
    {
        Check();
        _ = AddressArgument.TryParse(map.Start, out ulong start);
        Facts facts = new();
        facts.Add("Region", $"{Units.Address(start)} to {Units.Address(start + (ulong)map.Length)} of session {map.Session}");
        facts.Add("Pages", $"{map.Pages} of {Units.Bytes(map.PageBytes)}, {Units.Bytes(map.Length)} in all");
        facts.Add("Cell", $"{map.PagesPerCell} pages, {Units.Bytes(map.PagesPerCell * map.PageBytes)}");
        facts.Add("Written", $"{map.Dirty.Sum()} of the present pages since they were write-protected");
        facts.Add("Waiting", $"{map.Waited.Sum()} pages that a thread waits for");
        return [.. facts.Render(palette), "", .. Lines(start, width, palette), "", .. Legend(palette)];
    }

    private IEnumerable<string> Lines(ulong start, int? width, Palette palette)
    {
        string last = Units.Address(start + (ulong)map.Length);
        // A power of two, so that lines begin at round addresses.
        int perLine = 8;
        while (perLine * 2 <= Math.Min((width ?? int.MaxValue) - last.Length - 2, WidestLine))
            perLine *= 2;

        for (int cell = 0; cell < map.Cells; cell += perLine)
        {
            StringBuilder line = new();
            ulong address = start + (ulong)(cell * map.PagesPerCell * map.PageBytes);
            line.Append(CultureInfo.InvariantCulture, $"{Units.Address(address).PadLeft(last.Length)}  ");
            int end = Math.Min(cell + perLine, map.Cells);
            // One escape sequence for a run of cells of one kind.
            for (int i = cell; i < end;)
            {
                (char symbol, Style style) = Symbol(i);
                int from = i;
                while (i < end && Symbol(i) == (symbol, style))
                    i++;
                line.Append(palette.Paint(style, new string(symbol, i - from)));
            }

            yield return line.ToString();
        }
    }

    private (char Symbol, Style Style) Symbol(int cell)
    {
        foreach ((char symbol, _, Style style, Func<RegionMapDto, IReadOnlyList<long>> pages) in s_states)
        {
            if (pages(map)[cell] > 0)
                return (symbol, style);
        }

        long present = map.Present[cell];
        long removed = map.Removed[cell];
        if (present == 0)
            return removed > 0 ? ('-', Style.Faint) : ('.', Style.Faint);
        return (present + removed + map.Absent[cell] == present ? '#' : '+', Style.Good);
    }

    private IEnumerable<string> Legend(Palette palette)
    {
        Table table = new(new("SYMBOL"), new("PAGES", Right: true), new("SHARE", Right: true), new("MEANING"));
        long present = map.Present.Sum();
        Add('#', Style.Good, present, "present (+ where a cell has others too)");
        Add('.', Style.Faint, map.Absent.Sum(), "absent: never installed by the manager");
        Add('-', Style.Faint, map.Removed.Sum(), "given back by the program");
        foreach ((char symbol, string name, Style style, Func<RegionMapDto, IReadOnlyList<long>> pages) in s_states)
            Add(symbol, style, pages(map).Sum(), name);
        return table.Render(null, palette);

        void Add(char symbol, Style style, long pages, string meaning)
        {
            if (pages > 0)
                table.Add(new Cell(symbol.ToString(), style), pages, Units.Percent(pages, map.Pages), meaning);
        }
    }

    private void Check()
    {
        IReadOnlyList<long>[] arrays = [map.Absent, map.InFlight, map.Present, map.Removed, map.Poisoned, map.Evicted, map.Dirty, map.Waited];
        if (map.Cells < 0 || arrays.Any(array => array.Count != map.Cells))
            throw Control.ControlFailure.NotUnderstood("the map of the region has not as many numbers as cells");
    }
}
