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
    // virt/kvm/guest_memfd.c has called it both, as an anonymous inode and, since it has an inode of its own, as a file that has no name ("/[kvm-gmem] (deleted)").
    private static readonly string[] s_guestMemory = ["anon_inode:[guest_memfd]", "anon_inode:[kvm-gmem]", "/[guest_memfd]", "/[kvm-gmem]"];

    /// <summary>
    /// Looks at the name that the kernel gives to an open file; touches nothing of the file itself. Names with a slash in front can be imitated by a file of a file system of the sender's,
    /// on which everything may wait for it, fstatfs(2) too: what asks no file system has to prove them.
    /// </summary>
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
            _ when IsGuestMemory(link) => HandedKind.GuestMemfd,
            _ when link.StartsWith("/memfd:", StringComparison.Ordinal) && Memfd.IsMemory(descriptor) => HandedKind.Memfd,
            _ => HandedKind.Other,
        };
    }

    private static bool IsGuestMemory(string link) => s_guestMemory.Any(name => link.StartsWith(name, StringComparison.Ordinal));
}
