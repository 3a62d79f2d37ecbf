using System.Globalization;
using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>Names what is stored for the next manager, so that it knows what belongs together. Any thread.</summary>
internal sealed class DescriptorKeeper(IDescriptorStore store)
{
    public const string SessionPrefix = "session-";
    public const string SourcePrefix = "source-";
    public const string ImagePrefix = "image-";

    private long _lastId;
    private volatile bool _left;

    /// <summary>Numbers up to this one are taken.</summary>
    public void Reserve(long id) => InterlockedMax(ref _lastId, id);

    public long NextId() => Interlocked.Increment(ref _lastId);

    /// <summary>From now on nothing is taken out: what is stored belongs to the next manager.</summary>
    public void Leave() => _left = true;

    /// <summary>Whether somebody keeps what is stored.</summary>
    public bool IsKept => store.IsKept;

    /// <summary>Stores descriptors of a session; false when somebody keeps descriptors and has no room for these.</summary>
    public bool StoreSession(long id, params ReadOnlySpan<SafeFd> descriptors) => store.TryStore(Name(SessionPrefix, id), descriptors) || !store.IsKept;

    /// <summary>See <see cref="IDescriptorStore.SettleAsync"/>.</summary>
    public Task SettleAsync() => store.SettleAsync();

    public void RemoveSession(long id) => Remove(SessionPrefix, id);

    public long StoreSource(ReadOnlySpan<SafeFd> descriptors)
    {
        long id = NextId();
        store.TryStore(Name(SourcePrefix, id), descriptors);
        return id;
    }

    public void RemoveSource(long id) => Remove(SourcePrefix, id);

    public void StoreImage(long id, SafeFd memory, SafeFd state) => store.TryStore(Name(ImagePrefix, id), [memory, state]);

    public void RemoveImage(long id) => Remove(ImagePrefix, id);

    /// <summary>Gives up something under the name that an earlier manager had given it.</summary>
    public void RemoveForeign(string name) => store.Remove(name);

    private static string Name(string prefix, long id) => prefix + id.ToString(CultureInfo.InvariantCulture);

    private static void InterlockedMax(ref long target, long value)
    {
        long seen = Volatile.Read(ref target);
        while (seen < value)
        {
            long found = Interlocked.CompareExchange(ref target, value, seen);
            if (found == seen)
            {
                return;
            }

            seen = found;
        }
    }

    private void Remove(string prefix, long id)
    {
        if (!_left)
        {
            store.Remove(Name(prefix, id));
        }
    }
}
