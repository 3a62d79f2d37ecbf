using System.Text;
using UffdManager.Cli.Output;

namespace UffdManager.Cli.Top;

/// <summary>
/// The terminal while <c>uffdctl top</c> has it: the alternate screen without a cursor. Whatever ends the command, disposing gives the terminal back as it
/// was.
/// </summary>
internal sealed class TopScreen : IDisposable
{
    private readonly Terminal _terminal;

    public TopScreen(Terminal terminal)
    {
        _terminal = terminal;
        Enter();
    }

    /// <summary>Takes the terminal, at the start and after a stop by Ctrl-Z.</summary>
    public void Enter() => Write("\e[?1049h\e[?25l\e[H\e[2J");

    /// <summary>Shows lines, the first at the top.</summary>
    public void Draw(IReadOnlyList<string> lines)
    {
        StringBuilder picture = new("\e[H");
        for (int i = 0; i < lines.Count; i++)
        {
            // Each line takes away what was longer; no line end after the last one, which would scroll.
            picture.Append(lines[i]).Append("\e[K").Append(i < lines.Count - 1 ? "\r\n" : "");
        }

        Write(picture.Append("\e[J").ToString());
    }

    public void Dispose()
    {
        try
        {
            Write("\e[?25h\e[?1049l");
        }
        catch (IOException)
        {
            // The terminal is gone, and with it what there was to put right.
        }
    }

    private void Write(string text)
    {
        _terminal.Out.Write(text);
        _terminal.Out.Flush();
    }
}
