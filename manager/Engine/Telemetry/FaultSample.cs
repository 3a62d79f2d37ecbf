namespace UffdManager.Engine.Telemetry;

/// <summary>The service time of one fault.</summary>
public struct FaultSample
{
    /// <summary>From the reading of the fault to its resolution, nanoseconds.</summary>
    public long DurationNanoseconds;

    /// <summary>Monotonic clock at the end, nanoseconds.</summary>
    public long EndedAt;

    /// <summary>Index for <see cref="FaultEngine.TenantName"/>.</summary>
    public int Tenant;

    /// <summary>The lower half of <see cref="Sessions.Session.Id"/>, which tells live sessions apart; in what would be padding.</summary>
    public uint Session;

    /// <summary>What was asked for.</summary>
    public FaultKind Kind;

    /// <summary>How it ended.</summary>
    public FaultOutcome Outcome;
}
