using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>sendmsg(2) and recvmsg(2) with descriptors (SCM_RIGHTS).</content>
public static unsafe partial class UnixSocket
{
    /// <summary>Descriptors that one message can carry (SCM_MAX_FD).</summary>
    public const int MaxDescriptors = 253;

    [CName("SO_PEEK_OFF")] private const int PeekOffset = 42;
    [CName("SHUT_RD")] private const int ShutdownRead = 0;
    [CName("SCM_RIGHTS")] private const int ScmRights = 1;
    [CName("MSG_CTRUNC")] private const int MsgControlTruncated = 0x08;
    [CName("MSG_PEEK")] private const int MsgPeek = 0x02;
    [CName("MSG_TRUNC")] private const int MsgTruncated = 0x20;
    [CName("MSG_DONTWAIT")] private const int MsgDontWait = 0x40;
    [CName("MSG_NOSIGNAL")] private const int MsgNoSignal = 0x4000;
    [CName("MSG_CMSG_CLOEXEC")] private const int MsgControlCloseOnExec = 0x40000000;

    // Room for the largest SCM_RIGHTS, so that the kernel never truncates for our lack of space.
    private static readonly int s_controlBytes = Align(sizeof(ControlHeader)) + Align(MaxDescriptors * sizeof(int));

    /// <summary>
    /// Sends a message with descriptors, which stay the caller's. On a stream a short send goes on until all is sent; with
    /// <paramref name="dontWait"/> it may then end in EAGAIN with a part sent (see <see cref="SendSome"/>).
    /// </summary>
    /// <returns>EAGAIN the peer's buffer is full, EPIPE or ECONNRESET it has closed, EMSGSIZE, ETOOMANYREFS.</returns>
    public static Errno Send(SafeSocketFd socket, ReadOnlySpan<byte> message, ReadOnlySpan<SafeFd> descriptors, bool dontWait)
    {
        Errno errno = SendSome(socket, message, descriptors, dontWait, out int sent);
        while (errno == Errno.OK && sent < message.Length)
        {
            message = message[sent..];
            errno = SendSome(socket, message, [], dontWait, out sent);
        }

        return errno;
    }

    /// <summary>One sendmsg(2); on a stream <paramref name="sent"/> may be less than the message, and the descriptors went with it.</summary>
    public static Errno SendSome(
        SafeSocketFd socket, ReadOnlySpan<byte> message, ReadOnlySpan<SafeFd> descriptors, bool dontWait, out int sent)
    {
        ArgumentNullException.ThrowIfNull(socket);
        if (descriptors.Length > MaxDescriptors)
            throw new ArgumentOutOfRangeException(nameof(descriptors), descriptors.Length, "More descriptors than one message carries");
        using FdLease lease = socket.Lease();
        byte* control = stackalloc byte[s_controlBytes];
        FdLease[] leases = descriptors.IsEmpty ? [] : new FdLease[descriptors.Length];
        try
        {
            fixed (byte* bytes = message)
            {
                IoVector vector = new() { Base = (nuint)bytes, Length = (nuint)message.Length };
                MessageHeader header = new() { Vectors = &vector, VectorCount = 1 };
                if (!descriptors.IsEmpty)
                {
                    header.Control = control;
                    header.ControlLength = (nuint)WriteRights(control, descriptors, leases);
                }

                nint result;
                do
                    result = SendMsg(lease.Fd, &header, MsgNoSignal | (dontWait ? MsgDontWait : 0));
                while (LastError.IsInterrupted(result));
                sent = (int)Math.Max(0, result);
                return result < 0 ? LastError.Get() : Errno.OK;
            }
        }
        finally
        {
            foreach (FdLease held in leases)
                held.Dispose();
        }
    }

    /// <summary>
    /// Receives one message (on a stream: what is there). Every descriptor that came, close-on-exec, is added to
    /// <paramref name="descriptors"/> before anything is looked at.
    /// </summary>
    /// <returns>EAGAIN nothing there, or the socket's timeout; ECONNRESET.</returns>
    public static Errno Receive(
        SafeSocketFd socket, Span<byte> buffer, DescriptorSet descriptors, bool dontWait, out ReceivedMessage message) =>
        ReceiveWith(dontWait ? MsgDontWait : 0, socket, buffer, descriptors, out message);

    /// <summary>
    /// Looks at what <see cref="Receive"/> would give and leaves it there, for whoever has the socket next; never waits. Descriptors come as
    /// duplicates. After <see cref="PeekFromStart"/> a call goes on behind what the last one saw.
    /// </summary>
    /// <returns>EAGAIN nothing more there; ECONNRESET.</returns>
    public static Errno Peek(SafeSocketFd socket, Span<byte> buffer, DescriptorSet descriptors, out ReceivedMessage message) =>
        ReceiveWith(MsgDontWait | MsgPeek, socket, buffer, descriptors, out message);

    /// <summary>The next <see cref="Peek"/> sees the oldest byte that is there (SO_PEEK_OFF, 3.4), and those after it go on behind it.</summary>
    /// <exception cref="SyscallException">ENOPROTOOPT, ENOTSOCK.</exception>
    public static void PeekFromStart(SafeSocketFd socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        using FdLease lease = socket.Lease();
        int offset = 0;
        if (SetSockOpt(lease.Fd, SolSocket, PeekOffset, &offset, sizeof(int)) < 0)
            throw LastError.Exception("setsockopt(SO_PEEK_OFF)", $"fd {lease.Fd}");
    }

    /// <summary>
    /// Takes no more: what the peer sends from here on fails there with EPIPE. What has arrived before can still be received, so that afterwards it is known for good whether
    /// anything has.
    /// </summary>
    public static void StopReceiving(SafeSocketFd socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        using FdLease lease = socket.Lease();

        // ENOTCONN: the peer is gone; then nothing more comes either.
        _ = Shutdown(lease.Fd, ShutdownRead);
    }

    /// <summary>Whether there is anything to receive. Descriptors among it are not looked at.</summary>
    public static bool HasArrived(SafeSocketFd socket)
    {
        PeekFromStart(socket);
        byte first;
        return ReceiveBytes(socket, &first, 1, MsgDontWait | MsgPeek) > 0;
    }

    /// <summary>Throws away what there is to receive. Descriptors among it are dropped by the kernel and never come into this process's table.</summary>
    public static void Discard(SafeSocketFd socket)
    {
        byte* bytes = stackalloc byte[4096];
        while (ReceiveBytes(socket, bytes, 4096, MsgDontWait) > 0)
        {
        }
    }

    /// <summary>Throws away so many bytes that are there (<see cref="Peek"/>), and the descriptors among them as <see cref="Discard(SafeSocketFd)"/> does.</summary>
    /// <exception cref="SyscallException">They are not there.</exception>
    public static void Discard(SafeSocketFd socket, int length)
    {
        byte* bytes = stackalloc byte[4096];
        while (length > 0)
        {
            nint result = ReceiveBytes(socket, bytes, (nuint)Math.Min(length, 4096), MsgDontWait);
            if (result <= 0)
                throw new SyscallException(result < 0 ? LastError.Get() : Errno.ENODATA, "recvmsg", "what was there a moment ago");
            length -= (int)result;
        }
    }

    private static nint ReceiveBytes(SafeSocketFd socket, byte* bytes, nuint length, int flags)
    {
        ArgumentNullException.ThrowIfNull(socket);
        using FdLease lease = socket.Lease();
        IoVector vector = new() { Base = (nuint)bytes, Length = length };
        MessageHeader header = new() { Vectors = &vector, VectorCount = 1 };
        nint result;
        do
            result = RecvMsg(lease.Fd, &header, flags);
        while (LastError.IsInterrupted(result));
        return result;
    }

    private static Errno ReceiveWith(int flags, SafeSocketFd socket, Span<byte> buffer, DescriptorSet descriptors, out ReceivedMessage message)
    {
        ArgumentNullException.ThrowIfNull(socket);
        ArgumentNullException.ThrowIfNull(descriptors);
        using FdLease lease = socket.Lease();
        byte* control = stackalloc byte[s_controlBytes];
        fixed (byte* bytes = buffer)
        {
            IoVector vector = new() { Base = (nuint)bytes, Length = (nuint)buffer.Length };
            MessageHeader header = new() { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = (nuint)s_controlBytes };
            nint result;
            do
                result = RecvMsg(lease.Fd, &header, MsgControlCloseOnExec | flags);
            while (LastError.IsInterrupted(result));
            if (result < 0)
            {
                message = default;
                return LastError.Get();
            }

            AdoptRights(control, (int)header.ControlLength, descriptors);
            message = new ReceivedMessage(
                (int)result,
                (header.Flags & MsgTruncated) != 0,
                (header.Flags & MsgControlTruncated) != 0,
                result == 0 && buffer.Length > 0);
            return Errno.OK;
        }
    }

    private static int WriteRights(byte* control, ReadOnlySpan<SafeFd> descriptors, FdLease[] leases)
    {
        ControlHeader* header = (ControlHeader*)control;
        header->Length = (nuint)(Align(sizeof(ControlHeader)) + (descriptors.Length * sizeof(int)));
        header->Level = SolSocket;
        header->Type = ScmRights;
        int* numbers = (int*)(control + Align(sizeof(ControlHeader)));
        for (int i = 0; i < descriptors.Length; i++)
        {
            leases[i] = descriptors[i].Lease();
            numbers[i] = leases[i].Fd;
        }

        return Align(sizeof(ControlHeader)) + Align(descriptors.Length * sizeof(int));
    }

    private static void AdoptRights(byte* control, int length, DescriptorSet descriptors)
    {
        int offset = 0;
        while (length - offset >= sizeof(ControlHeader))
        {
            ControlHeader* header = (ControlHeader*)(control + offset);
            int size = (int)header->Length;
            if (size < sizeof(ControlHeader) || size > length - offset)
                return;
            if (header->Level == SolSocket && header->Type == ScmRights)
            {
                int* numbers = (int*)(control + offset + Align(sizeof(ControlHeader)));
                for (int i = 0; i < (size - Align(sizeof(ControlHeader))) / sizeof(int); i++)
                    descriptors.Adopt(numbers[i]);
            }

            offset += Align(size);
        }
    }

    // CMSG_ALIGN
    private static int Align(int bytes) => (bytes + sizeof(nuint) - 1) & ~(sizeof(nuint) - 1);

    [LibraryImport(Libc.Name, EntryPoint = "shutdown", SetLastError = true)]
    private static partial int Shutdown(int fd, int how);

    [LibraryImport(Libc.Name, EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMsg(int fd, MessageHeader* message, int flags);

    [LibraryImport(Libc.Name, EntryPoint = "recvmsg", SetLastError = true)]
    private static partial nint RecvMsg(int fd, MessageHeader* message, int flags);
}

/// <summary>struct msghdr.</summary>
[CName("struct msghdr")]
internal unsafe struct MessageHeader
{
    [CName("msg_name")] public void* Name;
    [CName("msg_namelen")] public uint NameLength;
    [CName("msg_iov")] public IoVector* Vectors;
    [CName("msg_iovlen")] public nuint VectorCount;
    [CName("msg_control")] public void* Control;
    [CName("msg_controllen")] public nuint ControlLength;
    [CName("msg_flags")] public int Flags;
}

/// <summary>struct cmsghdr.</summary>
[CName("struct cmsghdr")]
internal struct ControlHeader
{
    [CName("cmsg_len")] public nuint Length;
    [CName("cmsg_level")] public int Level;
    [CName("cmsg_type")] public int Type;
}
