using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>The descriptors that were stored for one session. Owns what nobody has taken.</summary>
internal sealed class InheritedSession(long id) : IDisposable
{
    /// <summary>What is said of a session without a state memory.</summary>
    public const string NoState = "its state memory is not in the store";

    private readonly List<SafeFd> _others = [];

    public long Id { get; } = id;

    public List<SafeUffd> Uffds { get; } = [];

    public List<SafePidFd> PidFds { get; } = [];

    public List<SafeMemfd> States { get; } = [];

    public bool HasNothing => Uffds.Count + PidFds.Count + States.Count + _others.Count == 0;

    /// <summary>Why these cannot be the descriptors of one session; null if they can.</summary>
    public string? Defect => Uffds.Count > 1 || PidFds.Count > 1 || States.Count > 1 || _others.Count > 0
        ? $"too many descriptors are stored for it: {Uffds.Count} userfaultfds, {PidFds.Count} of processes, {States.Count} state memories, {_others.Count} of other kinds"
        : Uffds.Count == 0 ? "its userfaultfd is not in the store"
        : States.Count == 0 ? NoState
        : null;

    /// <summary>Sorts a descriptor in; it is owned from now on.</summary>
    public void Add(SafeFd descriptor)
    {
        string link = FileIo.ReadDescriptorLink(descriptor) ?? string.Empty;
        if (Userfaultfd.IsUserfaultfd(descriptor))
        {
            Uffds.Add(SafeUffd.Adopt(descriptor.Disown()));
        }
        else if (link.Contains("[pidfd]", StringComparison.Ordinal) || link.StartsWith("pidfd:", StringComparison.Ordinal))
        {
            PidFds.Add(SafePidFd.Adopt(descriptor.Disown()));
        }
        else if (link.StartsWith("/memfd:", StringComparison.Ordinal))
        {
            States.Add(SafeMemfd.Adopt(descriptor.Disown()));
        }
        else
        {
            _others.Add(descriptor);
        }
    }

    /// <summary>The one of its kind, no longer ours; null for none.</summary>
    public static T? Take<T>(List<T> from)
        where T : SafeFd
    {
        if (from.Count == 0)
        {
            return null;
        }

        T taken = from[0];
        from.RemoveAt(0);
        return taken;
    }

    public void Dispose()
    {
        foreach (SafeFd descriptor in Uffds.Concat<SafeFd>(PidFds).Concat(States).Concat(_others))
        {
            descriptor.Dispose();
        }

        Uffds.Clear();
        PidFds.Clear();
        States.Clear();
        _others.Clear();
    }
}
