using UffdManager.Control;

namespace UffdManager.Daemon.Control;

/// <summary>A request that cannot be carried out; becomes its answer.</summary>
/// <param name="kind">Which type of problem.</param>
/// <param name="detail">What is wrong with this request.</param>
/// <param name="remedy">What can be done about it.</param>
internal sealed class ProblemException(ProblemKind kind, string detail, string? remedy = null) : Exception(detail)
{
    public ProblemKind Kind { get; } = kind;

    public string? Remedy { get; } = remedy;

    public IReadOnlyList<ConfigurationProblemDto>? Errors { get; init; }

    /// <summary>Value of the header Allow.</summary>
    public string? Allow { get; init; }
}
