using UffdManager.Daemon.Cli;
using UffdManager.Linux;

namespace UffdManager.Daemon.Hosting;

/// <summary>What this kernel and this process's privileges allow, and what is lost where they do not.</summary>
/// <param name="Features">Features of userfaultfd that the kernel knows.</param>
/// <param name="Losses">One sentence for each thing that will not work, with its remedy.</param>
internal sealed record KernelSupport(UffdFeatures Features, IReadOnlyList<string> Losses)
{
    private static readonly (UffdFeatures Feature, string Since, string Loss)[] s_features =
    [
        (UffdFeatures.EventFork | UffdFeatures.EventRemap | UffdFeatures.EventRemove | UffdFeatures.EventUnmap, "4.11",
            "forks, moved, discarded and unmapped ranges of clients are not followed"),
        (UffdFeatures.MissingShmem, "4.11", "shared memory cannot be served"),
        (UffdFeatures.MissingHugetlbfs, "4.11", "huge pages (hugetlbfs) cannot be served"),
        (UffdFeatures.PagefaultFlagWp, "5.7", "write protection is not available"),
        (UffdFeatures.MinorHugetlbfs, "5.13", "shared images on huge pages cannot be filled in place"),
        (UffdFeatures.MinorShmem, "5.14", "shared images cannot be filled in place"),
        (UffdFeatures.ExactAddress, "5.18", "faults on huge pages are known by page, not by address"),
        (UffdFeatures.WpHugetlbfsShmem, "5.19", "only anonymous memory can be write-protected"),
        (UffdFeatures.WpUnpopulated, "6.4", "pages that were never touched cannot be write-protected"),
        (UffdFeatures.Poison, "6.6", "a page that cannot be had kills its client where a policy says poison"),
        (UffdFeatures.WpAsync, "6.7", "written pages cannot be tracked without faults"),
        (UffdFeatures.Move, "6.8", "pages cannot be moved, only copied"),
    ];

    /// <summary>Asks the kernel.</summary>
    /// <exception cref="StartException">There is no userfaultfd at all.</exception>
    public static KernelSupport Probe()
    {
        UffdFeatures features;
        try
        {
            features = Userfaultfd.ProbeFeatures();
        }
        catch (SyscallException e) when (e.Errno is Errno.EACCES or Errno.EPERM)
        {
            throw new StartException(ExitCode.Permission,
                $"userfaultfd is not permitted: {e.Message}; run as root, or allow this user to open /dev/userfaultfd", e);
        }
        catch (SyscallException e) when (e.Errno is Errno.EMFILE or Errno.ENFILE or Errno.ENOMEM)
        {
            throw new StartException(ExitCode.Unavailable, $"userfaultfd cannot be had now: {e.Message}", e);
        }
        catch (SyscallException e)
        {
            throw new StartException(ExitCode.KernelLacksFeature,
                $"this kernel has no usable userfaultfd: {e.Message}; Linux 5.11 or newer with CONFIG_USERFAULTFD is needed", e);
        }

        List<string> losses = [];
        foreach ((UffdFeatures feature, string since, string loss) in s_features)
        {
            if ((features & feature) != feature)
                losses.Add($"{feature} is missing (Linux {since}): {loss}");
        }

        losses.AddRange(Privileges());
        return new KernelSupport(features, losses);
    }

    private static IEnumerable<string> Privileges()
    {
        if (!Capabilities.HasEffective(Capabilities.SysPtrace))
        {
            yield return "no CAP_SYS_PTRACE: UFFD_FEATURE_EVENT_FORK is refused by the kernel, so children of clients are not served; "
                + "memory of other users' processes cannot be looked at when taking over from an earlier manager. Give the daemon the capability, or run it as root";
        }

        if (!Capabilities.HasEffective(Capabilities.Kill))
        {
            yield return "no CAP_KILL: a client of another user that cannot be served cannot be killed and waits instead. "
                + "Give the daemon the capability, or run it as root";
        }

        if (FileIo.TryOpen("/dev/userfaultfd", OpenFlags.ReadWrite, out Errno errno) is { } device)
        {
            device.Dispose();
        }
        else if (errno == Errno.ENOENT)
        {
            yield return "/dev/userfaultfd does not exist (Linux 6.1): clients without CAP_SYS_PTRACE are only served for faults of user code, "
                + "unless vm.unprivileged_userfaultfd is 1";
        }
        else
        {
            yield return $"/dev/userfaultfd cannot be opened, {errno.Describe()}: it cannot be lent to clients that have no privilege. "
                + "Give the daemon read and write permission on it";
        }
    }
}
