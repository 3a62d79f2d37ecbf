namespace UffdManager.Cli.Output;

/// <summary>
/// Lines of columns. In a terminal it becomes narrower gracefully: long texts are cut first, then columns of little weight are left out.
/// Into a pipe it has every column, uncut.
/// </summary>
internal sealed class Table(params Column[] columns)
{
    private const int Gap = 2;

    private readonly List<(Cell[] Cells, Style Style)> _rows = [];

    public int RowCount => _rows.Count;

    /// <summary>Adds a row, one cell per column.</summary>
    public void Add(params Cell[] cells) => Add(Style.None, cells);

    /// <summary>Adds a row that is set off as a whole.</summary>
    public void Add(Style style, params Cell[] cells)
    {
        if (cells.Length != columns.Length)
            throw new ArgumentException($"{cells.Length} cells for {columns.Length} columns", nameof(cells));
        _rows.Add((cells, style));
    }

    /// <summary>The header and the rows, without line ends.</summary>
    /// <param name="width">Columns of the terminal; null for no limit.</param>
    /// <param name="palette">How styles show.</param>
    public IEnumerable<string> Render(int? width, Palette palette)
    {
        int[] widths = Layout(width);
        yield return palette.Paint(Style.Header, Line(widths, i => new Cell(columns[i].Header), Palette.Plain));
        foreach ((Cell[] cells, Style style) in _rows)
        {
            // Colours inside a row that is set off would end it.
            string line = Line(widths, i => cells[i], style == Style.None ? palette : Palette.Plain);
            yield return style == Style.None ? line : palette.Paint(style, line);
        }
    }

    // The width of each column; 0 for one that is left out.
    private int[] Layout(int? limit)
    {
        int[] natural = new int[columns.Length];
        for (int i = 0; i < columns.Length; i++)
            natural[i] = _rows.Select(row => Text.Width(row.Cells[i].Text)).Append(columns[i].Header.Length).Max();

        int[] widths = [.. natural];
        while (limit is { } max && Excess(widths, max) > 0)
        {
            Shrink(widths, Excess(widths, max));
            if (Excess(widths, max) <= 0 || !LeaveOut(widths))
                break;

            // What the column took may be enough for the others to have their full width again.
            for (int i = 0; i < widths.Length; i++)
                widths[i] = widths[i] == 0 ? 0 : natural[i];
        }

        return widths;
    }

    private static int Excess(int[] widths, int limit) => widths.Sum(width => width == 0 ? 0 : width + Gap) - Gap - limit;

    private void Shrink(int[] widths, int excess)
    {
        while (excess-- > 0)
        {
            int widest = -1;
            for (int i = 0; i < widths.Length; i++)
            {
                bool canShrink = columns[i].Shrink > 0 && widths[i] > Math.Max(columns[i].Shrink, columns[i].Header.Length);
                if (canShrink && (widest < 0 || widths[i] > widths[widest]))
                    widest = i;
            }

            if (widest < 0)
                return;
            widths[widest]--;
        }
    }

    private bool LeaveOut(int[] widths)
    {
        int last = -1;
        for (int i = 0; i < widths.Length; i++)
        {
            if (widths[i] > 0 && columns[i].Rank > 0 && (last < 0 || columns[i].Rank >= columns[last].Rank))
                last = i;
        }

        if (last < 0)
            return false;
        widths[last] = 0;
        return true;
    }

    private string Line(int[] widths, Func<int, Cell> cell, Palette palette)
    {
        List<string> fields = [];
        int lastShown = Array.FindLastIndex(widths, width => width > 0);
        for (int i = 0; i <= lastShown; i++)
        {
            if (widths[i] == 0)
                continue;
            Cell content = cell(i);
            string text = Text.Fit(content.Text, widths[i]);
            string padding = new(' ', widths[i] - Text.Width(text));
            string painted = palette.Paint(content.Style, text);
            // Nothing trails at the end of a line.
            fields.Add(columns[i].Right ? padding + painted : i == lastShown ? painted : painted + padding);
        }

        return string.Join(new string(' ', Gap), fields).TrimEnd();
    }
}
