namespace UffdManager.Control;

/// <summary>Whether a successor would get the sessions.</summary>
public sealed record DescriptorStoreDto
{
    /// <summary>Whether somebody keeps descriptors for a successor (systemd, uffd-supervise).</summary>
    public required bool Kept { get; init; }
}
