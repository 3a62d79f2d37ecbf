using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary>Progress of a snapshot: a line that changes in place on a terminal, nothing elsewhere, documents for programs.</summary>
internal sealed class SnapshotScreen(CommandContext context) : IDisposable
{
    private readonly ProgressLine _line = new(context);

    public void Show(Answer<SnapshotProgressDto> answer)
    {
        SnapshotProgressDto progress = answer.Value;
        if (context.Json)
            context.PrintLine(answer.Document);
        else
            _line.Show(progress.DoneBytes, progress.TotalBytes, HowFar(progress));
    }

    /// <summary>How much of the memory has been looked at and written.</summary>
    public static string HowFar(SnapshotProgressDto progress) =>
        $"{Units.Percent(progress.DoneBytes, progress.TotalBytes)} of {Units.Bytes(progress.TotalBytes)}, {Units.Bytes(progress.WrittenBytes)} written";

    /// <summary>Leaves the line, so that the next output does not follow it.</summary>
    public void Close() => _line.Close();

    public void Dispose() => _line.Dispose();
}
