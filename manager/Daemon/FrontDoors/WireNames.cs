using UffdManager.Daemon.Hosting;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>Names of the protocol as metric labels: closed sets.</summary>
internal static class WireNames
{
    /// <summary>What a request is called that was answered without being understood.</summary>
    public const string UnknownRequest = "unknown";

    public static string Of(MessageType type) => type switch
    {
        MessageType.Hello => "hello",
        MessageType.Attach => "attach",
        MessageType.Register => "register",
        MessageType.Unregister => "unregister",
        MessageType.Map => "map",
        MessageType.Prefetch => "prefetch",
        MessageType.Wake => "wake",
        MessageType.WriteProtect => "write_protect",
        MessageType.Status => "status",
        MessageType.Bye => "bye",
        _ => UnknownRequest,
    };

    public static string OutcomeOf(Message reply) => reply is not ErrorMessage error ? "ok" : error.Code switch
    {
        ErrorCode.Protocol => "protocol",
        ErrorCode.UnknownType => "unknown_type",
        ErrorCode.Version => "version",
        ErrorCode.Limit => "limit",
        ErrorCode.RefusedPeer => "refused_peer",
        ErrorCode.Policy => "policy",
        ErrorCode.Source => "source",
        ErrorCode.Conflict => "conflict",
        ErrorCode.NotFound => "not_found",
        ErrorCode.State => "state",
        ErrorCode.ShuttingDown => "shutting_down",
        _ => "kernel",
    };

    public static ProtocolErrorReason ReasonOf(DecodeError error) => error switch
    {
        DecodeError.BadMagic or DecodeError.TooShort => ProtocolErrorReason.BadMagic,
        DecodeError.UnsupportedVersion => ProtocolErrorReason.BadVersion,
        DecodeError.LengthMismatch => ProtocolErrorReason.BadLength,
        DecodeError.TooLong => ProtocolErrorReason.TooLong,
        DecodeError.TooManyDescriptors or DecodeError.DescriptorMismatch => ProtocolErrorReason.BadDescriptorCount,
        DecodeError.UnknownType => ProtocolErrorReason.UnknownType,
        _ => ProtocolErrorReason.BadBody,
    };
}
