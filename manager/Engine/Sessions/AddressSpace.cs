using UffdManager.Engine.Loops;
using UffdManager.Engine.Snapshots;

namespace UffdManager.Engine.Sessions;

/// <summary>
/// The memory behind one or more sessions, named by pid and start time. All its sessions live on one fault loop, so that an overlap
/// between them is seen without a lock; the list belongs to that loop.
/// </summary>
internal sealed class AddressSpace(int pid, ulong startTime, FaultLoop loop)
{
    public int Pid { get; } = pid;

    public ulong StartTime { get; } = startTime;

    public FaultLoop Loop { get; } = loop;

    public List<Session> Sessions { get; } = [];

    /// <summary>What reads of snapshots of any of them may have left in the memory; null when there is nothing to heed.</summary>
    public ClientReads? Reads { get; set; }

    /// <summary>Attachments under way or done; guarded by the registry's lock.</summary>
    public int References { get; set; }
}
