namespace UffdManager.Daemon.Dashboard;

/// <summary>A file of the page.</summary>
/// <param name="ContentType">Of the answer.</param>
/// <param name="Bytes">The file.</param>
/// <param name="Tag">Entity tag, with its quotation marks.</param>
internal sealed record DashboardAsset(string ContentType, ReadOnlyMemory<byte> Bytes, string Tag);
