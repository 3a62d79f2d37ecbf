using System.Globalization;

namespace UffdManager.Linux;

/// <summary>Reads <see cref="UffdFdInfo"/> (fs/userfaultfd.c, userfaultfd_show_fdinfo).</summary>
public static class UffdFdInfoReader
{
    // The kernel keeps "UFFDIO_API was done" in the top bit of its 32-bit feature word.
    private const ulong InitialisedBit = 1UL << 31;

    /// <summary>Reads the state of <paramref name="uffd"/> as it is now.</summary>
    /// <exception cref="FormatException">The descriptor is not a userfaultfd, or the kernel writes a format unknown so far.</exception>
    public static UffdFdInfo Read(SafeUffd uffd)
    {
        ArgumentNullException.ThrowIfNull(uffd);
        using FdLease lease = uffd.Lease();
        return Parse(File.ReadAllText($"/proc/self/fdinfo/{lease.Fd}"));
    }

    internal static UffdFdInfo Parse(string text)
    {
        long pending = -1;
        long total = -1;
        ulong[]? api = null;
        foreach (string line in text.Split('\n'))
        {
            string value = line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
            if (line.StartsWith("pending:", StringComparison.Ordinal))
                pending = long.Parse(value, CultureInfo.InvariantCulture);
            else if (line.StartsWith("total:", StringComparison.Ordinal))
                total = long.Parse(value, CultureInfo.InvariantCulture);
            else if (line.StartsWith("API:", StringComparison.Ordinal))
                api = Array.ConvertAll(value.Split(':'), part => ulong.Parse(part, NumberStyles.HexNumber, CultureInfo.InvariantCulture));
        }

        if (pending < 0 || total < 0 || api is not [ulong version, ulong enabled, ulong ioctls])
            throw new FormatException("Not the fdinfo of a userfaultfd: " + text);
        bool initialised = (enabled & InitialisedBit) != 0;
        return new UffdFdInfo(pending, total, version, (UffdFeatures)(enabled & ~InitialisedBit), (UffdIoctls)ioctls, initialised);
    }
}
