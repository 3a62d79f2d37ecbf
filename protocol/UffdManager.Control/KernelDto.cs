namespace UffdManager.Control;

/// <summary>What the daemon runs on.</summary>
public sealed record KernelDto
{
    /// <summary>As uname(2) says.</summary>
    public required string Release { get; init; }

    /// <summary>Features of userfaultfd that the kernel has, event_fork, pagefault_flag_wp and so on.</summary>
    public required IReadOnlyList<string> Features { get; init; }
}
