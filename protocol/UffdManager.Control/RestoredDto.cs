namespace UffdManager.Control;

/// <summary>What the daemon took over from its predecessor.</summary>
public sealed record RestoredDto
{
    /// <summary>Sessions that go on.</summary>
    public required int Sessions { get; init; }

    /// <summary>Sessions whose process had died meanwhile.</summary>
    public required int Gone { get; init; }

    /// <summary>Descriptors of unknown names, closed.</summary>
    public required int Foreign { get; init; }

    /// <summary>Sessions that could not be taken over.</summary>
    public required IReadOnlyList<RestoreFailureDto> Failures { get; init; }

    /// <summary>Time it took.</summary>
    public required double Seconds { get; init; }
}
