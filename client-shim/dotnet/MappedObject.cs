using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <summary>
/// A memfd that the manager fills. Map it shared and register the mapping with <see cref="RegisterOptions.Object"/> and the modes missing and
/// minor. Belongs to the client that asked for it.
/// </summary>
public sealed class MappedObject : IDisposable
{
    internal MappedObject(MapMessage request, SafeFile? source, ulong id, SafeFile memfd)
    {
        Request = request;
        Source = source;
        Id = id;
        Memfd = memfd;
        Length = request.Length;
    }

    /// <summary>The memory; owned by this object. Open for reading only unless asked for writable.</summary>
    public SafeFile Memfd { get; }

    /// <summary>Length in bytes.</summary>
    public ulong Length { get; }

    /// <summary>Whether this client may write.</summary>
    public bool Writable => (Request.Flags & MapFlags.Writable) != MapFlags.None;

    internal MapMessage Request { get; }

    internal SafeFile? Source { get; }

    /// <summary>The manager's number for it; another one after a restart of the manager.</summary>
    internal ulong Id { get; set; }

    /// <summary>Closes the descriptors. Mappings stay.</summary>
    public void Dispose()
    {
        Memfd.Dispose();
        Source?.Dispose();
    }
}
