using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <summary>One registered range, with all that is needed to say it again to another manager. Immutable.</summary>
/// <param name="Request">The message, but for the id of the object.</param>
/// <param name="Source">A descriptor of the source; shared between the pieces of a range that was cut.</param>
/// <param name="Object">The object that the range maps.</param>
internal sealed record Registration(RegisterMessage Request, SafeFile? Source, MappedObject? Object)
{
    public ulong End => Request.Start + Request.Length;

    public RegisterMessage Message => Object is null ? Request : Request with { MapId = Object.Id };

    /// <summary>
    /// The message for a manager that did not make the object: its memory lives on in those who have mapped it, but the new manager cannot
    /// reach it, so what is still missing comes straight from the source.
    /// </summary>
    public (RegisterMessage Message, SafeFile? Source) ForAnotherManager()
    {
        if (Object is null)
            return (Request, Source);
        bool sourceOfPolicy = Object.Source is null && Object.Request.Source.Length == 0;
        RegisterFlags flags = Request.Flags & ~RegisterFlags.FromMap;
        RegisterMessage message = Request with
        {
            Flags = Object.Source is null ? flags : flags | RegisterFlags.SourceFd,
            SourceOffset = Request.SourceOffset + Object.Request.SourceOffset,
            Source = Object.Request.Source,
            Policy = sourceOfPolicy ? Object.Request.Policy : Request.Policy,
        };
        return (message, Object.Source);
    }

    /// <summary>The part of the range from <paramref name="start"/> to <paramref name="end"/>.</summary>
    public Registration Cut(ulong start, ulong end) => this with
    {
        Request = Request with
        {
            Start = start,
            Length = end - start,
            SourceOffset = Request.SourceOffset + (start - Request.Start),
        },
    };
}
