using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Children that were being forked when the manager ended, before anybody else had their userfaultfd.</content>
internal sealed partial class FaultLoop
{
    // /proc counts start times in hundredths of a second.
    private const long TickNanoseconds = 10_000_000;

    // The child's userfaultfd went down with the manager that had just read it: from then on the kernel gives the child zeros. Where these are what we
    // would have given it nothing is lost. Else it is told from its siblings by what it is: a descendant of this process, younger than the session or the
    // fork, that executes what the parent does, has the parent's ranges, and has them unregistered. A descendant, as the child may have forked before it was lost, or since.
    private static void KillLostChildren(Session parent, long since, FaultEngine.Restore restore)
    {
        if (IsZeroOnly(parent))
        {
            return;
        }

        if (parent.Pid == 0)
        {
            restore.Failures.Add(new RestoreFailure(parent.Id, 0, "the manager ended while a child was forked from it, whose userfaultfd was lost: it may read zeros", Killed: false));
            return;
        }

        restore.Families ??= ProcessFamilies.Look();
        if (LostChildrenOf(parent, since, restore, restore.Families).Count == 0)
        {
            return;
        }

        // Who is there is not kept from forking. All of them before the first is killed: its children would be somebody else's then.
        foreach ((int pid, ulong startTime) in LostChildrenOf(parent, since, restore, ProcessFamilies.Look()))
        {
            KillLostChild(parent, pid, startTime, restore);
        }
    }

    private static List<(int Pid, ulong StartTime)> LostChildrenOf(Session parent, long since, FaultEngine.Restore restore, ProcessFamilies families)
    {
        List<(int Pid, ulong StartTime)> lost = [];
        byte[] program = ProcessInfo.ReadAuxiliaryVector(parent.Pid);
        foreach (int pid in families.DescendantsOf(parent.Pid))
        {
            if (ProcessInfo.TryReadStartTime(pid, out ulong startTime) && ((long)startTime + 2) * TickNanoseconds >= since
                && !restore.Sessions.Exists(restored => restored.Session.Pid == pid)
                && IsForkOf(program, pid)
                && HasRangesUnregistered(parent, pid))
            {
                lost.Add((pid, startTime));
            }
        }

        return lost;
    }

    // Most children execute another program at once. They have no memory of the parent's any more, and what they have mapped themselves may well lie where its ranges do.
    private static bool IsForkOf(byte[] program, int pid) => program.Length == 0 || ProcessInfo.ReadAuxiliaryVector(pid).AsSpan().SequenceEqual(program);

    private static void KillLostChild(Session parent, int pid, ulong startTime, FaultEngine.Restore restore)
    {
        using SafePidFd? pidFd = PidFd.TryOpen(pid, out _);
        if (pidFd is not null && ProcessInfo.TryReadStartTime(pid, out ulong now) && now == startTime)
        {
            bool killed = PidFd.SendSignal(pidFd, Signals.Kill) == Errno.OK;
            restore.Failures.Add(new RestoreFailure(0, pid, $"its userfaultfd was lost: the manager ended while it was forked from session {parent.Id}", killed));
        }
    }

    private static bool HasRangesUnregistered(Session parent, int pid)
    {
        IReadOnlyList<VmaInfo> mappings = ProcessInfo.ReadSmaps(pid);
        List<Region> touched = [];
        bool found = false;
        foreach (VmaInfo mapping in mappings)
        {
            // What an image has is not what its region's policy has. And one mapping may hold several ranges.
            parent.Regions.CollectOverlaps(mapping.Start, mapping.End, touched);
            if (touched.Exists(region => region.Image is not null || !region.Source.IsZero))
            {
                if (mapping.UffdModes != UffdRegisterModes.None)
                {
                    return false;
                }

                found = true;
            }
        }

        return found;
    }
}
