namespace UffdManager.Cli.Output;

/// <summary>How far something is: a bar that changes in place on a terminal, nothing elsewhere, where the end says it all.</summary>
internal sealed class ProgressLine(CommandContext context) : IDisposable
{
    private const int BarWidth = 20;

    private readonly bool _inPlace = context.Terminal.OutputIsTerminal && !context.Json && Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb");
    private bool _isOpen;

    public void Show(long done, long total, string text)
    {
        if (!_inPlace)
            return;

        int filled = total <= 0 ? BarWidth : (int)(BarWidth * Math.Clamp((double)done / total, 0, 1));

        // Back to the first column, and what was longer before goes.
        string line = $"[{new string('#', filled)}{new string('.', BarWidth - filled)}] {text}";
        context.Terminal.Out.Write($"\r{Text.Fit(line, (context.Terminal.Width ?? 80) - 1)}\e[K");
        context.Terminal.Out.Flush();
        _isOpen = true;
    }

    /// <summary>Leaves the line, so that the next output does not follow it.</summary>
    public void Close()
    {
        if (_isOpen)
        {
            context.Terminal.Out.WriteLine();
            context.Terminal.Out.Flush();
        }

        _isOpen = false;
    }

    public void Dispose() => Close();
}
