using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Pages that cannot be had: poisoned, or their client killed.</content>
internal sealed partial class FaultLoop
{
    private void InstallPoison(in FaultContext fault)
    {
        if ((fault.Session.Features & UffdFeatures.Poison) == 0 && (_engine.KernelFeatures & UffdFeatures.Poison) == 0)
        {
            KillInstead(in fault, "cannot be had, and this kernel knows no UFFDIO_POISON");
            return;
        }

        UffdResult result = PoisonOverMark(fault.Session, fault.Region, fault.Page);
        InstallOutcome outcome = InstallOutcomes.From(result.Errno);
        switch (outcome)
        {
            case InstallOutcome.Installed:
                fault.Session.PoisonedPages++;
                fault.Session.Counters.PoisonedPages++;
                break;
            case InstallOutcome.AlreadyPresent:
                _ = Userfaultfd.Wake(fault.Session.Lease, fault.Page, fault.Region.PageBytes);
                break;
            case InstallOutcome.Changing:
                Defer(in fault, DeferralReason.Changing);
                return;
            case InstallOutcome.NoMemory:
                // The page stays marked; giving up on it again would lead straight back here.
                Defer(in fault, DeferralReason.NoMemory);
                return;
            case InstallOutcome.Stale or InstallOutcome.ClientGone:
                break;
            default:
                KillInstead(in fault, $"cannot be had, and UFFDIO_POISON said {result.Errno.Describe()}");
                return;
        }

        Conclude(in fault, fault.Page, outcome, FaultOutcome.Poisoned);
    }

    private void KillInstead(in FaultContext fault, string reason)
    {
        Kill(fault.Session, fault.Page, reason);
        Account(fault.Session, fault.Kind, FaultOutcome.ClientKilled, fault.ReadAt);
    }
}
