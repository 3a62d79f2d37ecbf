namespace UffdManager.Cli.Output;

/// <summary>One thing in full: a list of names and values, the values below each other.</summary>
internal sealed class Facts
{
    private readonly List<(string Name, Cell Value)> _facts = [];

    public void Add(string name, Cell value) => _facts.Add((name, value));

    /// <summary>Adds a fact only if there is something to say.</summary>
    public void AddIf(bool present, string name, Cell value)
    {
        if (present)
            Add(name, value);
    }

    public IEnumerable<string> Render(Palette palette)
    {
        int width = _facts.Count == 0 ? 0 : _facts.Max(fact => fact.Name.Length) + 1;
        foreach ((string name, Cell value) in _facts)
            yield return $"{palette.Paint(Style.Header, (name + ':').PadRight(width))}  {palette.Paint(value.Style, value.Text)}".TrimEnd();
    }
}
