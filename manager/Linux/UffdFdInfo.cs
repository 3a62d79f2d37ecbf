namespace UffdManager.Linux;

/// <summary>What /proc/self/fdinfo tells about a userfaultfd: the only way to learn the features after UFFDIO_API.</summary>
/// <param name="Pending">Faults waiting that nobody has read.</param>
/// <param name="Total">Faults waiting, read or not.</param>
/// <param name="Api">Version of the interface, 0xAA.</param>
/// <param name="Enabled">Features that UFFDIO_API switched on.</param>
/// <param name="Ioctls">Ioctls that the kernel knows. (The features that it knows are told by <see cref="Userfaultfd.ProbeFeatures"/> alone.)</param>
/// <param name="Initialised">Whether UFFDIO_API has been done.</param>
public readonly record struct UffdFdInfo(
    long Pending, long Total, ulong Api, UffdFeatures Enabled, UffdIoctls Ioctls, bool Initialised);
