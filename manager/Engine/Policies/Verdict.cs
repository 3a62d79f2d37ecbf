namespace UffdManager.Engine.Policies;

/// <summary>What a fault gets when its page cannot be had before the policy's deadline.</summary>
public enum Verdict
{
    /// <summary>The page is marked with UFFDIO_POISON: whoever touches it gets SIGBUS. Needs Linux 6.6; the client is killed where the kernel lacks it.</summary>
    Poison,

    /// <summary>The client is killed with SIGKILL through its pidfd.</summary>
    Kill,

    /// <summary>The fault waits and the source is tried again for ever, with backoff.</summary>
    Wait,
}
