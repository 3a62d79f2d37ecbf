using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <summary>What can be said of a registration without looking at the session's state, and how its failures are told.</summary>
internal static class RegisterChecks
{
    // 47 bits on x86-64; arm64 may have 48. Beyond is the kernel's or nobody's.
    private const ulong AddressLimit = 1UL << 48;

    public static EngineError? Validate(Session session, RegisterRequest request)
    {
        ulong page = (ulong)PageSize.Base;
        if (request.Length == 0 || !PageSize.IsAligned(request.Start | request.Length, page))
        {
            return Invalid($"start 0x{request.Start:x} and length 0x{request.Length:x} must be multiples of the page size, and length above 0");
        }

        if (request.Start >= AddressLimit || request.Length > AddressLimit - request.Start)
        {
            return Invalid($"the range 0x{request.Start:x}+0x{request.Length:x} lies beyond the address space");
        }

        if (request.Modes == 0 || (request.Modes & ~(UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect | UffdRegisterModes.Minor)) != 0)
        {
            return Invalid($"modes {(ulong)request.Modes} are not a set of missing (1), write-protect (2) and minor (4)");
        }

        if (request.SourceOffset < 0 || !PageSize.IsAligned((ulong)request.SourceOffset, page))
        {
            return Invalid($"source offset {request.SourceOffset} must be a multiple of the page size");
        }

        if ((request.Flags & RegionFlags.WriteProtected) != 0 && (request.Modes & UffdRegisterModes.WriteProtect) == 0)
        {
            return Invalid("pages can be installed write-protected only with the mode write-protect");
        }

        if ((request.Flags & RegionFlags.Mailbox) != 0)
        {
            return request.Source is not null || request.Image is not null ? Invalid("a mailbox has no source") : null;
        }

        return ValidateSource(session, request);
    }

    public static string ConflictText(RegisterRequest request, RangeHolder holder)
    {
        string range = $"0x{request.Start:x}+0x{request.Length:x}";
        return holder.SessionId == 0
            ? $"{range} is held by a userfaultfd outside this manager"
            : $"{range} overlaps 0x{holder.Start:x}+0x{holder.Length:x}, held by session {holder.SessionId} (pid {holder.Pid}, tenant {holder.Tenant})";
    }

    public static EngineError KernelRefused(RegisterRequest request, Errno errno)
    {
        string what = $"UFFDIO_REGISTER 0x{request.Start:x}+0x{request.Length:x}: {errno.Describe()}";
        string why = errno switch
        {
            Errno.EINVAL => "; nothing is mapped there, or memory that this kernel cannot register for these modes (files other than tmpfs and hugetlbfs; minor faults on anonymous memory)",
            Errno.EPERM => "; a shared mapping of a file opened read-only cannot be filled",
            Errno.ENOMEM => "; the process is gone, or has as many mappings as vm.max_map_count allows",
            _ => string.Empty,
        };
        return new EngineError(EngineErrorKind.Kernel, errno, what + why);
    }

    private static EngineError? ValidateSource(Session session, RegisterRequest request)
    {
        if (request.Image is not null)
        {
            return (ulong)request.Image.Length - (ulong)Math.Min(request.SourceOffset, request.Image.Length) >= request.Length
                ? null
                : Invalid($"the range is longer than what image {request.Image.Name} has from offset {request.SourceOffset} on");
        }

        if ((request.Source ?? request.Policy.Source) is not Sources.PageSource source)
        {
            return new EngineError(EngineErrorKind.Source, Errno.EINVAL, $"policy {request.Policy.Name} has no source of its own: name one");
        }

        long sourceEnd = source.Length == long.MaxValue ? long.MaxValue : (long)PageSize.AlignUp((ulong)source.Length, (ulong)PageSize.Base);
        return (ulong)sourceEnd - (ulong)Math.Min(request.SourceOffset, sourceEnd) >= request.Length
            ? null
            : new EngineError(
                EngineErrorKind.Source,
                Errno.ENXIO,
                $"{source.Description} has {source.Length} bytes, but the range needs {request.Length} from offset {request.SourceOffset} on (session {session.Id})");
    }

    private static EngineError Invalid(string text) => new(EngineErrorKind.Invalid, Errno.EINVAL, text);
}
