using UffdManager.TestClient;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>A command threw an exception in the client program.</summary>
internal sealed class ClientRefusedException(string command, ReplyError error) : Exception($"{command}: {error.Type}: {error.Text}")
{
    public ReplyError Error { get; } = error;
}
