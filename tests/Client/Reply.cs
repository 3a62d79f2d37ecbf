namespace UffdManager.TestClient;

/// <summary>What became of a command.</summary>
/// <param name="Id">The command's number.</param>
/// <param name="Values">What it yields.</param>
/// <param name="Error">What was thrown instead; null if nothing.</param>
public sealed record Reply(long Id, string[] Values, ReplyError? Error);
