using System.Globalization;

namespace UffdManager.TestClient;

/// <summary><c>ID COMMAND WORD... NAME=VALUE...</c>, without blanks inside of words.</summary>
internal sealed class CommandLine
{
    private readonly string[] _words;
    private readonly Dictionary<string, string> _options = [];

    private CommandLine(long id, string command, string[] rest)
    {
        Id = id;
        Command = command;
        _words = [.. rest.Where(word => !word.Contains('=', StringComparison.Ordinal))];
        foreach (string[] option in rest.Except(_words, StringComparer.Ordinal).Select(word => word.Split('=', 2)))
            _options.Add(option[0], option[1]);
    }

    public long Id { get; }

    public string Command { get; }

    public static CommandLine Parse(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return new CommandLine(long.Parse(words[0], CultureInfo.InvariantCulture), words[1], words[2..]);
    }

    public string Word(int index) => _words[index];

    public ulong Number(int index) => ulong.Parse(_words[index], CultureInfo.InvariantCulture);

    public string Option(string name) => _options.GetValueOrDefault(name, "");

    public bool Has(string name) => _options.ContainsKey(name);
}
