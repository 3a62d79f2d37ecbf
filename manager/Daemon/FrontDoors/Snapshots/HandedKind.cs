using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>What a descriptor that came with a hand-over is.</summary>
internal enum HandedKind
{
    /// <summary>None of the others.</summary>
    Other,

    /// <summary>A userfaultfd.</summary>
    Userfaultfd,

    /// <summary>A file of memfd_create(2).</summary>
    Memfd,

    /// <summary>Memory that KVM alone maps.</summary>
    GuestMemfd,
}

/// <summary>Tells what descriptors are.</summary>
internal static class HandedKinds
{
    /// <summary>Looks at the name that the kernel gives to an open file; touches nothing of the file itself.</summary>
    public static HandedKind Of(SafeFd descriptor)
    {
        string link;
        try
        {
            link = FileIo.ReadDescriptorLink(descriptor);
        }
        catch (SyscallException)
        {
            return HandedKind.Other;
        }

        return link switch
        {
            "anon_inode:[userfaultfd]" => HandedKind.Userfaultfd,
            "anon_inode:[guest_memfd]" or "/[guest_memfd]" => HandedKind.GuestMemfd,
            _ when link.StartsWith("/memfd:", StringComparison.Ordinal) => HandedKind.Memfd,
            _ => HandedKind.Other,
        };
    }
}
