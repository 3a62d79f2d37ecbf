namespace UffdManager.Linux;

/// <content>Reading messages.</content>
public static unsafe partial class Userfaultfd
{
    [CName("RWF_NOWAIT")] internal const int NoWait = 8;

    // Before 6.10 userfaultfd knows no RWF_NOWAIT; the answer is the same for every descriptor, so it is learnt once.
    private static bool s_noWaitMissing;

    internal static bool IsNoWaitMissing
    {
        get => s_noWaitMissing;
        set => s_noWaitMissing = value;
    }

    /// <summary>
    /// Reads up to <paramref name="into"/>.Length messages without ever blocking. O_NONBLOCK lives in the open file, which the client
    /// shares and may clear, so the wish not to wait travels with the call (RWF_NOWAIT). On kernels before 6.10 the flag is set again
    /// before each read, which a hostile client can race.
    /// </summary>
    /// <returns>The number of messages; 0 with <paramref name="errno"/> EAGAIN when there is none, EINVAL before UFFDIO_API.</returns>
    public static int Read(FdLease uffd, Span<UffdMessage> into, out Errno errno)
    {
        fixed (UffdMessage* messages = into)
        {
            nuint bytes = (nuint)into.Length * (nuint)sizeof(UffdMessage);
            nint result = s_noWaitMissing ? ReadAfterSettingNonBlock(uffd.Fd, messages, bytes) : ReadNoWait(uffd.Fd, messages, bytes);
            if (result < 0)
            {
                errno = LastError.Get();
                if (errno == Errno.EOPNOTSUPP && !s_noWaitMissing)
                {
                    s_noWaitMissing = true;
                    return Read(uffd, into, out errno);
                }

                return 0;
            }

            errno = Errno.OK;
            return (int)(result / sizeof(UffdMessage));
        }
    }

    private static nint ReadNoWait(int fd, UffdMessage* messages, nuint bytes)
    {
        IoVector vector = new() { Base = (nuint)messages, Length = bytes };
        nint result;
        do
            result = Libc.Preadv2(fd, &vector, 1, -1, NoWait);
        while (LastError.IsInterrupted(result));
        return result;
    }

    private static nint ReadAfterSettingNonBlock(int fd, UffdMessage* messages, nuint bytes)
    {
        int flags = Libc.Fcntl(fd, Libc.F_GETFL, 0);
        if (flags >= 0 && (flags & Libc.O_NONBLOCK) == 0)
            _ = Libc.Fcntl(fd, Libc.F_SETFL, flags | Libc.O_NONBLOCK);
        nint result;
        do
            result = Libc.Read(fd, messages, bytes);
        while (LastError.IsInterrupted(result));
        return result;
    }
}
