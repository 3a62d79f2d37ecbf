using System.Globalization;
using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>What an earlier manager had stored, sorted by what it belongs to. Owns what nobody has taken.</summary>
internal sealed class InheritedDescriptors : IDisposable
{
    private readonly SortedDictionary<long, InheritedSession> _sessions = [];
    private readonly Dictionary<long, List<SafeFd>> _sources = [];
    private readonly Dictionary<long, List<SafeFd>> _images = [];

    public InheritedDescriptors(IReadOnlyList<StoredDescriptor> descriptors)
    {
        foreach (StoredDescriptor stored in descriptors)
        {
            Sort(stored);
        }
    }

    /// <summary>By number: parents before those that they forked.</summary>
    public IEnumerable<InheritedSession> Sessions => _sessions.Values;

    public IEnumerable<long> Images => _images.Keys;

    /// <summary>Sources that nobody has taken.</summary>
    public IEnumerable<long> LeftSources => _sources.Keys;

    /// <summary>Numbers of sources and images, each of which is never given again.</summary>
    public long LastStoreId => _sources.Keys.Concat(_images.Keys).DefaultIfEmpty().Max();

    public long LastSessionId => _sessions.Keys.DefaultIfEmpty().Max();

    /// <summary>Descriptors that belong to nothing; closed.</summary>
    public int Foreign { get; private set; }

    public InheritedSession? Session(long id) => _sessions.GetValueOrDefault(id);

    /// <summary>The descriptors of a source, in no order; the caller owns them.</summary>
    /// <param name="id">Which source.</param>
    /// <param name="count">How many it has.</param>
    /// <exception cref="CorruptStateException">There are more or fewer.</exception>
    public List<SafeFile> TakeSource(long id, int count) =>
        _sources.GetValueOrDefault(id) is { } found && found.Count == count && _sources.Remove(id)
            ? [.. found.Select(descriptor => SafeFile.Adopt(descriptor.Disown()))]
            : throw new CorruptStateException(count == 1
                ? $"the descriptor of source {id} is not in the store exactly once"
                : $"the {count} descriptors of source {id} are not in the store exactly once each");

    /// <summary>Memory and state of an image; the caller owns them.</summary>
    /// <exception cref="CorruptStateException">One is missing, or there are more.</exception>
    public (SafeMemfd Memory, SafeMemfd State) TakeImage(long id)
    {
        List<SafeFd> found = _images[id];
        SafeFd[] states = [.. found.Where(ImageMemory.IsOne)];
        if (found.Count != 2 || states.Length != 1)
        {
            throw new CorruptStateException($"image {id} has {found.Count} descriptors, {states.Length} of them its state");
        }

        _images.Remove(id);
        SafeFd memory = found.Single(descriptor => descriptor != states[0]);
        return (SafeMemfd.Adopt(memory.Disown()), SafeMemfd.Adopt(states[0].Disown()));
    }

    public void Dispose()
    {
        foreach (InheritedSession session in _sessions.Values)
        {
            session.Dispose();
        }

        foreach (SafeFd descriptor in _sources.Values.Concat(_images.Values).SelectMany(list => list))
        {
            descriptor.Dispose();
        }
    }

    private static bool TryNumber(string name, string prefix, out long id)
    {
        id = 0;
        return name.StartsWith(prefix, StringComparison.Ordinal)
            && long.TryParse(name.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out id) && id > 0;
    }

    private static void Add(Dictionary<long, List<SafeFd>> into, long id, SafeFd descriptor)
    {
        if (!into.TryGetValue(id, out List<SafeFd>? list))
        {
            into[id] = list = [];
        }

        list.Add(descriptor);
    }

    private void Sort(StoredDescriptor stored)
    {
        if (TryNumber(stored.Name, DescriptorKeeper.SessionPrefix, out long id))
        {
            if (!_sessions.TryGetValue(id, out InheritedSession? session))
            {
                _sessions[id] = session = new InheritedSession(id);
            }

            session.Add(stored.Descriptor);
        }
        else if (TryNumber(stored.Name, DescriptorKeeper.SourcePrefix, out id))
        {
            Add(_sources, id, stored.Descriptor);
        }
        else if (TryNumber(stored.Name, DescriptorKeeper.ImagePrefix, out id))
        {
            Add(_images, id, stored.Descriptor);
        }
        else
        {
            stored.Descriptor.Dispose();
            Foreign++;
        }
    }
}
