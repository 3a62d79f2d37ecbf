namespace UffdManager.Cli.Top;

/// <summary>What the user has chosen to see, by options and keys.</summary>
internal sealed class TopState
{
    public TopSort Sort { get; set; } = TopSort.Default;

    public bool IsReversed { get; set; }

    /// <summary>Sessions that are scrolled out above.</summary>
    public int Scroll { get; set; }

    public bool IsPaused { get; set; }

    public bool ShowsHelp { get; set; }

    /// <summary>Rows of sessions at most; null for as many as fit.</summary>
    public int? Rows { get; init; }

    /// <summary>Why there is nothing new to show; null while frames come.</summary>
    public string? Trouble { get; set; }

    /// <summary>Obeys a key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="page">Sessions that fit on the screen.</param>
    /// <returns>False if it says to end.</returns>
    public bool Obey(ConsoleKeyInfo key, int page)
    {
        if (key.Key == ConsoleKey.Escape && ShowsHelp)
        {
            ShowsHelp = false;
            return true;
        }

        switch (key.Key)
        {
            case ConsoleKey.Q or ConsoleKey.Escape:
                return false;
            case ConsoleKey.S or ConsoleKey.RightArrow:
                Step(1);
                break;
            case ConsoleKey.LeftArrow:
                Step(-1);
                break;
            case ConsoleKey.R:
                IsReversed = !IsReversed;
                break;
            case ConsoleKey.UpArrow:
                Scroll = Math.Max(0, Scroll - 1);
                break;
            case ConsoleKey.DownArrow:
                Scroll++;
                break;
            case ConsoleKey.PageUp:
                Scroll = Math.Max(0, Scroll - page);
                break;
            case ConsoleKey.PageDown:
                Scroll += page;
                break;
            case ConsoleKey.Home:
                Scroll = 0;
                break;
            case ConsoleKey.End:
                Scroll = int.MaxValue / 2;
                break;
            case ConsoleKey.Spacebar or ConsoleKey.P:
                IsPaused = !IsPaused;
                break;
            case ConsoleKey.H:
                ShowsHelp = !ShowsHelp;
                break;
            default:
                if (key.KeyChar == '?')
                    ShowsHelp = !ShowsHelp;
                break;
        }

        return true;
    }

    private void Step(int by)
    {
        int index = TopSort.All.ToList().IndexOf(Sort);
        Sort = TopSort.All[(index + by + TopSort.All.Count) % TopSort.All.Count];
        IsReversed = false;
    }
}
