namespace UffdManager.Daemon.Configuration;

/// <summary>One JSON document of the configuration.</summary>
/// <param name="Name">File name, or what stands for one; appears as the origin of values.</param>
/// <param name="Text">The document.</param>
internal sealed record JsonLayer(string Name, string Text);
