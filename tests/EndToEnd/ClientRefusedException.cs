using UffdManager.TestClient;

namespace UffdManager.EndToEnd.Tests;

/// <summary>A command threw an exception in the client program.</summary>
public sealed class ClientRefusedException(string command, ReplyError error) : Exception($"{command}: {error.Type}: {error.Text}")
{
    /// <summary>What was thrown there.</summary>
    public ReplyError Error { get; } = error;
}
