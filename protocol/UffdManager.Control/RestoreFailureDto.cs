namespace UffdManager.Control;

/// <summary>A session that could not be taken over.</summary>
public sealed record RestoreFailureDto
{
    /// <summary>Its id; 0 when not even that is known.</summary>
    public required long Session { get; init; }

    /// <summary>Its process; 0 when unknown.</summary>
    public required int Pid { get; init; }

    /// <summary>What was wrong.</summary>
    public required string Reason { get; init; }

    /// <summary>Whether the process was killed, so that it never reads zeros in place of its data.</summary>
    public required bool Killed { get; init; }
}
