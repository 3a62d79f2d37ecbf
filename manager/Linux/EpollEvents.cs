namespace UffdManager.Linux;

/// <summary>Readiness and modes of epoll_ctl(2).</summary>
[Flags]
public enum EpollEvents : uint
{
    /// <summary>Nothing; errors and hang-ups are reported all the same.</summary>
    None = 0,

    /// <summary>Readable.</summary>
    [CName("EPOLLIN")] In = 1,

    /// <summary>Writable.</summary>
    [CName("EPOLLOUT")] Out = 4,

    /// <summary>Error; always reported. A userfaultfd without O_NONBLOCK reports nothing else.</summary>
    [CName("EPOLLERR")] Err = 8,

    /// <summary>Both directions are closed; always reported.</summary>
    [CName("EPOLLHUP")] HangUp = 0x10,

    /// <summary>The peer will write no more.</summary>
    [CName("EPOLLRDHUP")] ReadHangUp = 0x2000,

    /// <summary>Of several epoll instances that watch the file, wake one.</summary>
    [CName("EPOLLEXCLUSIVE")] Exclusive = 1u << 28,

    /// <summary>Disarm after one report.</summary>
    [CName("EPOLLONESHOT")] OneShot = 1u << 30,

    /// <summary>Report changes, not states.</summary>
    [CName("EPOLLET")] EdgeTriggered = 1u << 31,
}
