namespace UffdManager.Daemon.Control;

/// <summary>One resource and method.</summary>
/// <param name="Method">GET, POST, PUT, DELETE.</param>
/// <param name="Template">Path; a part in braces stands for a value.</param>
/// <param name="Right">What it takes.</param>
/// <param name="HandleAsync">Carries it out.</param>
internal sealed record ControlRoute(string Method, string Template, AccessRight Right, Func<ControlRequest, Task> HandleAsync)
{
    private readonly string[] _parts = Template.Split('/');

    /// <summary>The values at the places of the braces; null when the path is another.</summary>
    public IReadOnlyList<string>? Match(string[] path)
    {
        if (path.Length != _parts.Length)
            return null;

        List<string> values = [];
        for (int i = 0; i < path.Length; i++)
        {
            if (_parts[i].StartsWith('{') && path[i].Length > 0)
                values.Add(path[i]);
            else if (!_parts[i].Equals(path[i], StringComparison.Ordinal))
                return null;
        }

        return values;
    }
}
