using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary>Progress of a snapshot: a line that changes in place on a terminal, nothing elsewhere, documents for programs.</summary>
internal sealed class SnapshotScreen(CommandContext context) : IDisposable
{
    private readonly bool _inPlace = context.Terminal.OutputIsTerminal && !context.Json && Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb");
    private bool _isOpen;

    public void Show(Answer<SnapshotProgressDto> answer)
    {
        if (context.Json)
        {
            context.PrintLine(answer.Document);
        }
        else if (_inPlace)
        {
            SnapshotProgressDto progress = answer.Value;
            string line = $"{Units.Percent(progress.DoneBytes, progress.TotalBytes)} of {Units.Bytes(progress.TotalBytes)}, {Units.Bytes(progress.WrittenBytes)} written";

            // Back to the first column, and what was longer before goes.
            context.Terminal.Out.Write($"\r{Text.Fit(line, (context.Terminal.Width ?? 80) - 1)}\e[K");
            context.Terminal.Out.Flush();
            _isOpen = true;
        }
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
