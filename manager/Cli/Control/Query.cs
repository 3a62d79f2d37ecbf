namespace UffdManager.Cli.Control;

/// <summary>A path with its parameters, escaped.</summary>
internal sealed class Query
{
    private readonly string _path;
    private readonly (string Name, string Value)[] _parameters;

    /// <param name="segments">Parts of the path, each of which may hold anything.</param>
    public Query(params string[] segments)
        : this(string.Join('/', segments.Prepend("v1").Select(Segment)), [])
    {
    }

    private Query(string path, (string Name, string Value)[] parameters) => (_path, _parameters) = (path, parameters);

    /// <summary>The same with one more parameter; the same if the value is null.</summary>
    public Query With(string name, string? value) => value is null ? this : new Query(_path, [.. _parameters, (name, value)]);

    public override string ToString() => _parameters.Length == 0
        ? _path
        : $"{_path}?{string.Join('&', _parameters.Select(p => $"{p.Name}={Uri.EscapeDataString(p.Value)}"))}";

    // "." and ".." mean something else in a path, escaped or not.
    private static string Segment(string segment) => segment is "." or ".." or ""
        ? throw new CommandException(ExitCode.NotFound, $"there is nothing of the name '{segment}'")
        : Uri.EscapeDataString(segment);
}
