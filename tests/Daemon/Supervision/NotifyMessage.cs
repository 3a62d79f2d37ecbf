namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>A message as it came.</summary>
/// <param name="Text">Its lines.</param>
/// <param name="Descriptors">How many came with it.</param>
internal sealed record NotifyMessage(string Text, int Descriptors)
{
    public string[] Lines { get; } = Text.Split('\n');

    public bool Has(string line) => Lines.Contains(line);

    public string? Value(string key) => Lines.FirstOrDefault(line => line.StartsWith(key + "=", StringComparison.Ordinal))?[(key.Length + 1)..];
}
