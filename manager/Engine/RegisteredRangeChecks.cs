using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <summary>Holds what a client says of ranges that it has registered itself against what the kernel says of its mappings.</summary>
internal static class RegisteredRangeChecks
{
    /// <summary>Makes requests with the modes that the kernel has, or says why a range cannot be served.</summary>
    /// <param name="session">The session that is to hold them.</param>
    /// <param name="ranges">What the client says.</param>
    /// <param name="mappings">Its mappings, ascending.</param>
    /// <param name="requests">One for each range.</param>
    public static EngineError? Resolve(Session session, IReadOnlyList<RegisteredRange> ranges, IReadOnlyList<VmaInfo> mappings, out List<RegisterRequest> requests)
    {
        requests = [];
        foreach (RegisteredRange range in ranges)
        {
            UffdRegisterModes modes = UffdRegisterModes.None;
            if ((CheckAlignment(range) ?? FindModes(range, mappings, out modes)) is EngineError unfit)
            {
                return unfit;
            }

            // Who asked for write protection wants to see the first write to a page: it must be filled armed.
            RegisterRequest request = new()
            {
                Start = range.Start,
                Length = range.Length,
                Modes = modes,
                Policy = session.DefaultPolicy,
                Source = range.Source,
                SourceOffset = range.SourceOffset,
                Flags = (modes & UffdRegisterModes.WriteProtect) != 0 ? RegionFlags.WriteProtected : RegionFlags.None,
            };
            if (RegisterChecks.Validate(session, request) is EngineError invalid)
            {
                return invalid;
            }

            requests.Add(request);
        }

        return null;
    }

    private static EngineError? CheckAlignment(RegisteredRange range) =>
        range.PageBytes < (ulong)PageSize.Base || !ulong.IsPow2(range.PageBytes) || !PageSize.IsAligned(range.Start | range.Length | (ulong)range.SourceOffset, range.PageBytes)
            ? Invalid(range, $"is not aligned to its pages of {range.PageBytes} bytes")
            : null;

    // The range may consist of several mappings: parts of it that are not plugged in have another protection.
    private static EngineError? FindModes(RegisteredRange range, IReadOnlyList<VmaInfo> mappings, out UffdRegisterModes modes)
    {
        modes = UffdRegisterModes.None;
        ulong covered = range.Start;
        ulong end = range.Start + range.Length;
        foreach (VmaInfo mapping in mappings)
        {
            if (mapping.End <= covered || mapping.Start >= end)
            {
                continue;
            }

            if (mapping.Start > covered)
            {
                break;
            }

            if ((mapping.UffdModes & UffdRegisterModes.Missing) == 0 || (mapping.UffdModes & UffdRegisterModes.Minor) != 0)
            {
                return Invalid(range, $"is registered for {mapping.UffdModes} at 0x{covered:x}, and must be for missing pages, with or without write protection");
            }

            if (modes != UffdRegisterModes.None && modes != mapping.UffdModes)
            {
                return Invalid(range, $"is registered for {modes} in one part and for {mapping.UffdModes} in another");
            }

            if (mapping.PageSize != range.PageBytes)
            {
                return Invalid(range, $"is said to have pages of {range.PageBytes} bytes, but is mapped with pages of {mapping.PageSize}");
            }

            modes = mapping.UffdModes;
            covered = mapping.End;
        }

        return covered < end ? Invalid(range, $"is not mapped at 0x{covered:x}, or the process cannot be looked at") : null;
    }

    private static EngineError Invalid(RegisteredRange range, string what) =>
        new(EngineErrorKind.Invalid, Errno.EINVAL, $"the range 0x{range.Start:x}+0x{range.Length:x} {what}");
}
