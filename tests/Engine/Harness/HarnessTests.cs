using UffdManager.Engine.Telemetry;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Harness;

/// <summary>What the other tests rely on.</summary>
public sealed class HarnessTests : EngineTest
{
    [Fact]
    public void Counters_include_what_a_loop_is_about_to_count()
    {
        // A loop has woken a client, and was put aside by the scheduler before it has counted the fault.
        ServedClient it = Serve(policy: Zero);
        Task<long> read;
        using (new HeldLoop(it.Session, () => it.Session.Counters.CountFault(FaultKind.WriteProtect, FaultOutcome.Unprotected)))
        {
            read = Task.Run(() => CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Unprotected));
            Eventually.Never(() => read.IsCompleted, TimeSpan.FromMilliseconds(50), "reading the counters before that");
        }

        Assert.Equal(1, read.Finish());
    }
}
