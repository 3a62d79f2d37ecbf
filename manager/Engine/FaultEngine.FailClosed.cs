using System.Diagnostics;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <content>Sessions that come back but cannot be served: their clients end, and never read zeros.</content>
public sealed partial class FaultEngine
{
    // The last descriptor of a living client may be closed only after the client has been killed: whoever waits would read zeros. Where nobody knows
    // who it is, the descriptor is kept, and whoever faults on it finds his page poisoned.
    private void FailClosed(Restore restore, InheritedSession inherited, (int Pid, ulong StartTime) process, string reason)
    {
        List<SafeUffd> living = [];
        bool hadSome = inherited.Uffds.Count > 0;
        while (InheritedSession.Take(inherited.Uffds) is SafeUffd uffd)
        {
            if (IsOver(uffd))
            {
                uffd.Dispose();
            }
            else
            {
                living.Add(uffd);
            }
        }

        bool killed = false;
        if (hadSome && living.Count == 0)
        {
            restore.Gone++;
        }
        else
        {
            (int pid, killed) = KillProven(restore, inherited, process);
            restore.Failures.Add(new RestoreFailure(inherited.Id, pid, reason, killed));
        }

        inherited.Dispose();
        if (killed || living.Count == 0)
        {
            living.ForEach(uffd => uffd.Dispose());
            _keeper.RemoveSession(inherited.Id);
            return;
        }

        // What is stored stays so: the next manager would come to the same end.
        for (int i = 0; i < living.Count; i++)
        {
            Condemn(restore, i == 0 ? inherited.Id : _registry.NextId(), living[i], reason);
        }
    }

    // Only who is known to be the one: the process of the state memory, or, where that cannot be read, the only one that was stored for the session.
    private static (int Pid, bool Killed) KillProven(Restore restore, InheritedSession inherited, (int Pid, ulong StartTime) process)
    {
        if (process.Pid != 0)
        {
            using SafePidFd? pidFd = TryOpenProcess(process.Pid, process.StartTime);
            return (process.Pid, pidFd is not null && KillAndWait(restore, pidFd));
        }

        if (inherited.PidFds is not [SafePidFd only] || PidFd.ReadPid(only) is not int pid || pid == Environment.ProcessId)
        {
            return default;
        }

        return (pid, KillAndWait(restore, only));
    }

    // Until it is gone, a thread of it may run on another CPU, and would read zeros as soon as the userfaultfd is closed.
    private static bool KillAndWait(Restore restore, SafePidFd pidFd)
    {
        if (PidFd.SendSignal(pidFd, Signals.Kill) != Errno.OK)
        {
            return false;
        }

        _ = PidFd.WaitForExit(pidFd, restore.DeathPatience());
        return true;
    }

    // A session of nobody, that serves every fault with poison.
    private void Condemn(Restore restore, long id, SafeUffd uffd, string reason)
    {
        Tenant tenant = restore.Owner.TenantOf("unknown", 1, new TenantLimits());
        FaultLoop loop = _loops[0];
        SessionLedger ledger = new(StateMemory.Create(loop.StateBytes));
        ledger.Memory.Assign(id);
        Policy policy = new() { Name = "unknown" };
        Session session = new(id, uffd, loop, tenant, policy, reason, UffdFdInfoReader.Read(uffd).Enabled, NewToken(), CountersOf(tenant, loop), ledger)
        {
            State = SessionState.Adopting,
            IsStored = true,
        };
        tenant.Usage.AddSession();
        _registry.Add(session);
        session.Record();
        loop.Post(new LoopCommand<bool>(it =>
        {
            it.Add(session);
            it.Kill(session, 0, reason);
            return true;
        }));
    }
}
