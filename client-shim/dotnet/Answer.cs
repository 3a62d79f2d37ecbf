using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <summary>What came back for a request, and the descriptor that came with it.</summary>
internal sealed record Answer(Message Message, SafeFile? Descriptor) : IDisposable
{
    /// <summary>The message, which is to be of this type.</summary>
    /// <exception cref="UffdManagerException">It is of another: the manager breaks the protocol.</exception>
    public T As<T>()
        where T : Message
    {
        if (Message is T message)
            return message;
        Dispose();
        throw new UffdManagerException(Errno.EPROTO, $"the manager answered with {Message.Type}");
    }

    public void Dispose() => Descriptor?.Dispose();
}
