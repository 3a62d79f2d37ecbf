namespace UffdManager.Daemon.Dashboard;

/// <summary>Event in the place of a frame that could not be had.</summary>
internal sealed record LiveTrouble
{
    /// <summary>When.</summary>
    public required string At { get; init; }

    /// <summary>Why, for the operator.</summary>
    public required string Reason { get; init; }
}
