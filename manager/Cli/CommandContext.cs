using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;

namespace UffdManager.Cli;

/// <summary>What every command works with: its line, the manager, and where its output goes.</summary>
internal sealed class CommandContext(ParseResult line, Terminal terminal) : IDisposable
{
    private static readonly JsonWriterOptions s_indented = new() { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private ControlClient? _client;

    public ParseResult Line => line;

    public Terminal Terminal => terminal;

    public bool Json { get; } = line.GetValue(GlobalOptions.Json);

    public Palette Palette { get; } = line.GetValue(GlobalOptions.NoColor) ? Palette.Plain : terminal.DefaultPalette;

    public string Socket { get; } = line.GetValue(GlobalOptions.Socket)
        ?? (Environment.GetEnvironmentVariable(GlobalOptions.SocketVariable) is { Length: > 0 } path ? path : GlobalOptions.DefaultSocket);

    public TimeSpan RequestTimeout => line.GetValue(GlobalOptions.RequestTimeout) ?? GlobalOptions.DefaultTimeout;

    public ControlClient Client => _client ??= new ControlClient(Socket, RequestTimeout);

    /// <summary>Prints one document, indented.</summary>
    public void PrintDocument(ReadOnlyMemory<byte> document)
    {
        using var parsed = JsonDocument.Parse(document);
        using MemoryStream text = new();
        using (Utf8JsonWriter writer = new(text, s_indented))
            parsed.WriteTo(writer);
        terminal.Out.Flush();
        terminal.Out.BaseStream.Write(text.GetBuffer().AsSpan(0, (int)text.Length));
        terminal.Out.WriteLine();
    }

    /// <summary>Prints one document that this program made.</summary>
    public void PrintDocument(JsonNode document) => PrintDocument(System.Text.Encoding.UTF8.GetBytes(document.ToJsonString()));

    /// <summary>Prints one document of a stream on one line, and lets it be seen.</summary>
    public void PrintLine(ReadOnlyMemory<byte> document)
    {
        terminal.Out.Flush();
        terminal.Out.BaseStream.Write(document.Span);
        terminal.Out.BaseStream.Write("\n"u8);
    }

    public void Print(string text) => terminal.Out.WriteLine(text);

    public void Print(Table table) => terminal.WriteLines(table.Render(terminal.Width, Palette));

    public void Print(Facts facts) => terminal.WriteLines(facts.Render(Palette));

    /// <summary>Says something on standard error that is no failure.</summary>
    public void Warn(string text) => terminal.Error.WriteLine($"uffdctl: {text}");

    public void Dispose() => _client?.Dispose();
}
