using UffdManager.Linux;

namespace UffdManager.Engine;

/// <summary>Which kind of refusal an <see cref="EngineError"/> is.</summary>
public enum EngineErrorKind
{
    /// <summary>The kernel refused the call.</summary>
    Kernel,

    /// <summary>The arguments make no sense.</summary>
    Invalid,

    /// <summary>A limit of the tenant.</summary>
    Limit,

    /// <summary>Somebody else holds the range.</summary>
    Conflict,

    /// <summary>No such range, session or page.</summary>
    NotFound,

    /// <summary>The session is not in a state for this.</summary>
    State,

    /// <summary>The contents cannot be had.</summary>
    Source,
}

/// <summary>Why a command failed.</summary>
/// <param name="Kind">The kind of refusal.</param>
/// <param name="Errno">The closest errno.</param>
/// <param name="Text">One sentence with the reason and, where there is one, the remedy.</param>
/// <param name="Holder">With EBUSY: who holds the range.</param>
public sealed record EngineError(EngineErrorKind Kind, Errno Errno, string Text, RangeHolder? Holder = null);
