using UffdManager.Client;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.TestClient;

/// <summary>An exception of the client library, or whatever was thrown.</summary>
/// <param name="Type">Name of its type.</param>
/// <param name="Code">Of a <see cref="UffdManagerException"/>.</param>
/// <param name="Errno">Of that, or of a <see cref="SyscallException"/>.</param>
/// <param name="Holder">Of that.</param>
/// <param name="Text">For people.</param>
public sealed record ReplyError(string Type, ErrorCode Code, Errno Errno, RangeHolder? Holder, string Text)
{
    /// <summary>Of an exception.</summary>
    public static ReplyError Of(Exception exception)
    {
        ArgumentNullException.ThrowIfNull(exception);
        string type = exception.GetType().Name;
        return exception switch
        {
            UffdManagerException refused => new ReplyError(type, refused.Code, refused.Errno, refused.Holder, refused.Message),
            SyscallException failed => new ReplyError(type, ErrorCode.None, failed.Errno, null, failed.Message),
            _ => new ReplyError(type, ErrorCode.None, Errno.OK, null, exception.ToString()),
        };
    }
}
