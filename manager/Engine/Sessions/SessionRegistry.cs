using System.Collections.Concurrent;
using UffdManager.Engine.Loops;

namespace UffdManager.Engine.Sessions;

/// <summary>Which sessions and address spaces there are. Control path only; its lock is never held across anything that waits.</summary>
internal sealed class SessionRegistry(FaultLoop[] loops)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(int Pid, ulong StartTime), AddressSpace> _spaces = [];
    private readonly ConcurrentDictionary<long, Session> _sessions = new();
    private readonly ConcurrentDictionary<ulong, Session> _byToken = new();
    private long _lastId;

    public long NextId() => Interlocked.Increment(ref _lastId);

    /// <summary>Numbers up to this one are taken.</summary>
    public void Reserve(long id) => _lastId = Math.Max(_lastId, id);

    public ICollection<Session> All => _sessions.Values;

    public Session? Find(long id) => _sessions.GetValueOrDefault(id);

    public Session? ByToken(ulong token) => _byToken.GetValueOrDefault(token);

    public void Add(Session session)
    {
        _sessions[session.Id] = session;
        _byToken[session.ForkToken] = session;
    }

    public void Remove(Session session)
    {
        _sessions.TryRemove(session.Id, out _);
        _byToken.TryRemove(session.ForkToken, out _);
    }

    /// <summary>The address space, made on the loop with the fewest if it is new; one more reference to it.</summary>
    public AddressSpace Enter(int pid, ulong startTime)
    {
        lock (_lock)
        {
            if (!_spaces.TryGetValue((pid, startTime), out AddressSpace? space))
            {
                FaultLoop loop = loops.MinBy(candidate => candidate.AssignedSpaces)!;
                space = new AddressSpace(pid, startTime, loop);
                _spaces[(pid, startTime)] = space;
                loop.AssignedSpaces++;
            }

            space.References++;
            return space;
        }
    }

    /// <summary>
    /// The address space of a forked child that has become known; null when sessions of it exist on another loop already, in which case an
    /// overlap is left to the kernel to notice.
    /// </summary>
    public AddressSpace? EnterOn(FaultLoop loop, int pid, ulong startTime)
    {
        lock (_lock)
        {
            if (!_spaces.TryGetValue((pid, startTime), out AddressSpace? space))
            {
                space = new AddressSpace(pid, startTime, loop);
                _spaces[(pid, startTime)] = space;
                loop.AssignedSpaces++;
            }
            else if (space.Loop != loop)
            {
                return null;
            }

            space.References++;
            return space;
        }
    }

    public void Leave(AddressSpace space)
    {
        lock (_lock)
        {
            if (--space.References == 0)
            {
                _spaces.Remove((space.Pid, space.StartTime));
                space.Loop.AssignedSpaces--;
            }
        }
    }
}
