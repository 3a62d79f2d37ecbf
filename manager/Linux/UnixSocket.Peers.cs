using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>Who is at the other end of a socket that belongs to a library, and sockets given to one.</content>
public static unsafe partial class UnixSocket
{
    [CName("SO_PEERGROUPS")] private const int PeerGroups = 59;

    // Most processes have a handful; the kernel allows 65536 (NGROUPS_MAX).
    private const int UsualGroups = 64;

    /// <summary>Who connected, of a socket of System.Net.Sockets.</summary>
    /// <exception cref="SyscallException">ENOTSOCK, ENOPROTOOPT.</exception>
    public static PeerCredentials GetPeerCredentials(Socket socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        using BorrowedSocket borrowed = new(socket);
        PeerCredential credential;
        uint size = (uint)sizeof(PeerCredential);
        return GetSockOpt(borrowed.Fd, SolSocket, PeerCred, &credential, &size) < 0
            ? throw LastError.Exception("getsockopt(SO_PEERCRED)", $"fd {borrowed.Fd}")
            : new PeerCredentials(credential.Pid, credential.Uid, credential.Gid);
    }

    /// <summary>
    /// The supplementary groups of whoever connected, as they were at connect(2) (SO_PEERGROUPS, 4.13). Empty where the kernel does not tell them.
    /// </summary>
    public static uint[] GetPeerGroups(Socket socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        using BorrowedSocket borrowed = new(socket);
        uint[] groups = new uint[UsualGroups];
        while (true)
        {
            uint size = (uint)groups.Length * sizeof(uint);
            int result;
            fixed (uint* list = groups)
                result = GetSockOpt(borrowed.Fd, SolSocket, PeerGroups, list, &size);
            if (result == 0)
                return groups[..(int)(size / sizeof(uint))];

            // ERANGE comes with the size that is needed.
            if (LastError.Get() != Errno.ERANGE || size <= groups.Length * sizeof(uint))
                return [];
            groups = new uint[size / sizeof(uint)];
        }
    }

    /// <summary>The same socket for a library that wants one of System.Net.Sockets, which owns it from now on.</summary>
    public static Socket GiveAway(SafeSocketFd socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        return new Socket(new SafeSocketHandle(socket.Disown(), ownsHandle: true));
    }

    private ref struct BorrowedSocket
    {
        private readonly SafeHandle _handle;
        private bool _taken;

        public BorrowedSocket(Socket socket)
        {
            _handle = socket.SafeHandle;
            _handle.DangerousAddRef(ref _taken);
#pragma warning disable RS0030 // The number is used while the reference taken above is held.
            Fd = (int)_handle.DangerousGetHandle();
#pragma warning restore RS0030
        }

        public int Fd { get; }

        public void Dispose()
        {
            if (_taken)
                _handle.DangerousRelease();
            _taken = false;
        }
    }
}
