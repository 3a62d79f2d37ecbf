using System.Globalization;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>
/// Stores what outlives the manager, under names by which it is put together again: a socket's number, its document in versions, its connections. Belongs to the front door's thread.
/// </summary>
internal sealed class SnapshotKeeper(IDescriptorStore store)
{
    /// <summary>What all names begin with.</summary>
    public const string Prefix = "snapshot-";

    public const string Document = "-document-";
    public const string Peer = "-peer-";
    public const string Taken = "-taken-";

    private long _last;

    /// <summary>Numbers up to this one are taken.</summary>
    public void Reserve(long number) => _last = Math.Max(_last, number);

    public long NextNumber() => ++_last;

    /// <summary>Stores a socket; its document first, so that none is found without.</summary>
    /// <param name="number">Of the socket.</param>
    /// <param name="listener">Borrowed.</param>
    /// <param name="document">What else there is to know.</param>
    /// <returns>Number of the document; 0 if somebody keeps descriptors and the socket is not kept.</returns>
    public long StoreSocket(long number, SafeSocketFd listener, SnapshotSocketDocument document)
    {
        long version = StoreDocument(number, document, 0);
        return store.TryStore(NameOf(number), [listener]) || !store.IsKept ? version : 0;
    }

    /// <summary>Stores another document of a socket, and only then gives up the one before.</summary>
    /// <param name="number">Of the socket.</param>
    /// <param name="document">The document.</param>
    /// <param name="former">Number of the one before; 0 for none.</param>
    /// <returns>Its number; that of the one before if somebody keeps descriptors and this one is not kept.</returns>
    public long StoreDocument(long number, SnapshotSocketDocument document, long former)
    {
        long version = NextNumber();
        try
        {
            using SafeMemfd memory = Memfd.Create("snapshot socket", MemfdFlags.None);
            if (FileIo.WriteAll(memory, document.Encode(), 0) != Errno.OK || (!store.TryStore($"{NameOf(number)}{Document}{version}", [memory]) && store.IsKept))
                return former;
        }
        catch (SyscallException)
        {
            return former;
        }

        if (former != 0)
            store.Remove($"{NameOf(number)}{Document}{former}");
        return version;
    }

    public void RemoveSocket(long number, long version)
    {
        store.Remove(NameOf(number));
        if (version != 0)
            store.Remove($"{NameOf(number)}{Document}{version}");
    }

    /// <summary>Stores a connection.</summary>
    /// <param name="number">Of its socket.</param>
    /// <param name="peer">Of the connection.</param>
    /// <param name="connection">Borrowed.</param>
    /// <returns>Whether a successor would find it.</returns>
    public bool StorePeer(long number, long peer, SafeSocketFd connection) => store.TryStore($"{NameOf(number)}{Peer}{peer}", [connection]);

    public void RemovePeer(long number, long peer) => store.Remove($"{NameOf(number)}{Peer}{peer}");

    /// <summary>Stores that a part of a connection's message is about to be taken out of it.</summary>
    /// <returns>Whether a successor would know.</returns>
    public bool StoreTaken(long number, long peer)
    {
        try
        {
            // A file of its own: a service manager keeps what is one open file once, under its first name.
            using SafeMemfd mark = Memfd.Create("snapshot taken", MemfdFlags.None);
            return store.TryStore($"{NameOf(number)}{Taken}{peer}", [mark]);
        }
        catch (SyscallException)
        {
            return false;
        }
    }

    public void RemoveTaken(long number, long peer) => store.Remove($"{NameOf(number)}{Taken}{peer}");

    private static string NameOf(long number) => Prefix + number.ToString(CultureInfo.InvariantCulture);
}
