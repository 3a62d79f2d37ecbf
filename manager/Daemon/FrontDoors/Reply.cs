using UffdManager.Engine;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>What a request is answered with.</summary>
/// <param name="Message">The message.</param>
/// <param name="Descriptor">The descriptor that goes with it; owned by the reply until it is sent.</param>
/// <param name="ThenClose">Whether the connection ends with it.</param>
internal readonly record struct Reply(Message Message, SafeFd? Descriptor = null, bool ThenClose = false)
{
    /// <summary>The success of a request that returns nothing.</summary>
    public static Reply Done => new(new DoneMessage(0));

    public static implicit operator Reply(Message message) => new(message);

    public static Reply Error(ErrorCode code, Errno errno, string text, bool thenClose = false) =>
        new(new ErrorMessage((int)errno, (uint)code, ErrorFlags.None, 0, 0, 0, 0, "", ProtocolLimits.Clip(text, ProtocolLimits.MaxText)), null, thenClose);

    /// <summary>A refusal of the engine, with the holder of the range where there is one.</summary>
    public static Reply Error(EngineError error)
    {
        ErrorCode code = error.Kind switch
        {
            EngineErrorKind.Limit => ErrorCode.Limit,
            EngineErrorKind.Conflict => ErrorCode.Conflict,
            EngineErrorKind.NotFound => ErrorCode.NotFound,
            EngineErrorKind.State => ErrorCode.State,
            EngineErrorKind.Source => ErrorCode.Source,

            // The engine refuses what the kernel would refuse; for the client it is the same.
            EngineErrorKind.Kernel or EngineErrorKind.Invalid => ErrorCode.Kernel,
            _ => ErrorCode.Kernel,
        };
        if (error.Holder is not { } holder)
            return Error(code, error.Errno, error.Text);
        return new Reply(new ErrorMessage(
            (int)error.Errno,
            (uint)code,
            ErrorFlags.Holder,
            holder.Pid,
            (ulong)holder.SessionId,
            holder.Start,
            holder.Length,
            ProtocolLimits.Clip(holder.Tenant, ProtocolLimits.MaxTenant),
            ProtocolLimits.Clip(error.Text, ProtocolLimits.MaxText)));
    }
}
