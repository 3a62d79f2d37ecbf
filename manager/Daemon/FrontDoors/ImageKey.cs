namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// What makes two MAP requests of a tenant mean the same object: the name, else where the contents come from. Exactly one of
/// <paramref name="Name"/> and <paramref name="Source"/> is not empty.
/// </summary>
/// <param name="Tenant">Objects are never shared between tenants.</param>
/// <param name="Name">The client's name for it.</param>
/// <param name="Source">Identity of the source.</param>
/// <param name="Offset">Byte offset in the source; 0 with a name.</param>
/// <param name="Length">Length in bytes; 0 with a name.</param>
/// <param name="ByPermission">Whether permissions, and no seal, keep it from being written; never with a name.</param>
internal readonly record struct ImageKey(string Tenant, string Name, string Source, long Offset, long Length, bool ByPermission);
