using System.Text;

namespace UffdManager.Cli.Output;

/// <summary>Where the command writes and reads: what kind of thing standard input and output are, and how wide.</summary>
internal sealed class Terminal : IDisposable
{
    private const int NarrowestUse = 20;

    private readonly Stream _output;

    public Terminal()
    {
        // The console's stream takes a closed pipe for a success, and `uffdctl top --batch | head` would never end. A FileStream on a file writes at
        // places that it reckons itself, and `(uffdctl status; date) >file` would lose one of the two. So each where it is right.
        FileStream stream = new(new Microsoft.Win32.SafeHandles.SafeFileHandle(1, ownsHandle: false), FileAccess.Write, bufferSize: 0);
        _output = stream.CanSeek ? Console.OpenStandardOutput() : stream;
        Out = new StreamWriter(_output, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), bufferSize: 8192) { NewLine = "\n" };
    }

    /// <summary>Standard output, buffered: nothing is seen before a flush.</summary>
    public StreamWriter Out { get; }

    /// <summary>Standard error, unbuffered.</summary>
    public TextWriter Error { get; } = Console.Error;

    public bool OutputIsTerminal { get; } = !Console.IsOutputRedirected;

    public bool InputIsTerminal { get; } = !Console.IsInputRedirected;

    /// <summary>Columns; null if lines may have any length. COLUMNS wins, so that a script can ask for a width.</summary>
    public int? Width
    {
        get
        {
            if (int.TryParse(Environment.GetEnvironmentVariable("COLUMNS"), out int columns) && columns > 0)
                return Math.Max(columns, NarrowestUse);
            return OutputIsTerminal && Console.WindowWidth > 0 ? Math.Max(Console.WindowWidth, NarrowestUse) : null;
        }
    }

    /// <summary>The colours to use when the command line does not forbid them.</summary>
    public Palette DefaultPalette =>
        OutputIsTerminal && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"))
            && Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb")
            ? Palette.Colors : Palette.Plain;

    public void WriteLines(IEnumerable<string> lines)
    {
        foreach (string line in lines)
            Out.WriteLine(line);
    }

    public void Dispose()
    {
        // Disposing the writer flushes it; whoever cares for the outcome has flushed before.
        try
        {
            Out.Dispose();
        }
        catch (IOException)
        {
            // The pipe is closed; reported where the command flushed.
        }

        _output.Dispose();
    }
}
