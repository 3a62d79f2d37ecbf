using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary>Progress of a drain: a line that changes in place on a terminal, a line for each change elsewhere, documents for programs.</summary>
internal sealed class DrainScreen(CommandContext context) : IDisposable
{
    private readonly bool _inPlace = context.Terminal.OutputIsTerminal && !context.Json && Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb");
    private long _most;
    private long _shown = -1;
    private bool _isOpen;

    public void Show(Answer<DrainProgressDto> answer)
    {
        if (context.Json)
        {
            context.PrintLine(answer.Document);
            return;
        }

        DrainProgressDto progress = answer.Value;
        _most = Math.Max(_most, progress.Sessions);
        if (_inPlace)
        {
            // Back to the first column, and what was longer before goes.
            context.Terminal.Out.Write($"\r{Text.Fit(Line(progress), (context.Terminal.Width ?? 80) - 1)}\e[K");
            context.Terminal.Out.Flush();
            _isOpen = true;
        }
        else if (progress.Sessions != _shown && !progress.Done)
        {
            context.Print(Line(progress));
            context.Terminal.Out.Flush();
        }

        _shown = progress.Sessions;
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

    private string Line(DrainProgressDto progress)
    {
        const int BarWidth = 20;
        int done = _most == 0 ? BarWidth : (int)(BarWidth * (_most - progress.Sessions) / _most);
        string bar = _inPlace ? $"[{new string('#', done)}{new string('.', BarWidth - done)}] " : "";
        string tenants = string.Join(", ", progress.Tenants.Where(pair => pair.Value > 0).Select(pair => $"{pair.Key} {pair.Value}"));
        string byTenant = tenants.Length == 0 ? "" : $" ({Text.Clean(tenants)})";
        return $"{bar}{progress.Sessions} sessions left{byTenant}, {Units.Age(progress.ElapsedSeconds * 1e9)}";
    }
}
