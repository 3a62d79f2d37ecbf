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

    /// <summary>See <see cref="IDescriptorStore.IsPrompt"/>.</summary>
    public bool IsPrompt => store.IsPrompt;

    /// <summary>See <see cref="IDescriptorStore.IsSettled"/>.</summary>
    public bool IsSettled => store.IsSettled;

    /// <summary>Stores descriptors of a session; false when somebody keeps descriptors and has no room for these.</summary>
    public bool StoreSession(long id, params ReadOnlySpan<SafeFd> descriptors) => store.TryStore(Name(SessionPrefix, id), descriptors) || !store.IsKept;

    /// <summary>See <see cref="IDescriptorStore.SettleAsync"/>.</summary>
    public Task SettleAsync() => store.SettleAsync();

    public void RemoveSession(long id) => Remove(SessionPrefix, id);

    /// <summary>Stores the descriptors of a source.</summary>
    /// <returns>Its number; 0 when somebody keeps descriptors and has no room for these.</returns>
    public long StoreSource(ReadOnlySpan<SafeFd> descriptors)
    {
        long id = NextId();
        return TryStore(Name(SourcePrefix, id), descriptors) ? id : 0;
    }

    public void RemoveSource(long id) => Remove(SourcePrefix, id);

    /// <summary>Stores the descriptors of an image; false when somebody keeps descriptors and has no room for these.</summary>
    public bool StoreImage(long id, SafeFd memory, SafeFd state) => TryStore(Name(ImagePrefix, id), [memory, state]);

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

    // All or none: some of them may have been sent before there was no room.
    private bool TryStore(string name, ReadOnlySpan<SafeFd> descriptors)
    {
        if (store.TryStore(name, descriptors) || !store.IsKept)
        {
            return true;
        }

        store.Remove(name);
        return false;
    }

    private void Remove(string prefix, long id)
    {
        if (!_left && id != 0)
        {
            store.Remove(Name(prefix, id));
        }
    }
}
