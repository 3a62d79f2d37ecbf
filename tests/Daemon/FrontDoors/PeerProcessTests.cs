using UffdManager.Daemon.FrontDoors;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>Who connected, where the kernel tells it badly: the number alone must not make a process answer for another one that had it before.</summary>
public sealed class PeerProcessTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly SafeSocketFd _listener;
    private readonly ClientProcess _client = ClientProcess.Start();
    private readonly SafeSocketFd _accepted;

    public PeerProcessTests()
    {
        _listener = UnixSocket.Listen(_directory.Combine("s"), UnixSocketType.Stream, 4, 0b110_000_000);
        _client.Run($"connect {_directory.Combine("s")} 1");
        _accepted = UnixSocket.TryAccept(_listener, out _)!;
    }

    public void Dispose()
    {
        _accepted.Dispose();
        _listener.Dispose();
        _client.Dispose();
        _directory.Dispose();
    }

    // The process that has the number now stands for one that got it afterwards.
    [Theory]
    [InlineData(Errno.EINVAL)]
    [InlineData(Errno.ESRCH)]
    [InlineData(Errno.ENODATA)]
    public void Number_of_a_peer_that_has_been_reaped_names_nobody(Errno answer)
    {
        Assert.Null(Identify(answer, out Errno errno));
        Assert.Equal(Errno.ESRCH, errno);
    }

    [Theory]
    [InlineData(Errno.EMFILE)]
    [InlineData(Errno.ENFILE)]
    [InlineData(Errno.ENOMEM)]
    public void Peer_for_which_there_is_no_descriptor_is_looked_for_later(Errno answer)
    {
        Assert.Null(Identify(answer, out Errno errno));
        Assert.Equal(answer, errno);
    }

    [Fact]
    public void Peer_of_a_kernel_without_pidfds_of_peers_is_found_by_its_number()
    {
        using PeerProcess? process = Identify(Errno.ENOPROTOOPT, out Errno errno);
        Assert.Equal(Errno.OK, errno);
        Assert.Equal(_client.Pid, process!.Pid);
        Assert.True(process.IsAlive);
    }

    [Fact]
    public void Number_that_is_a_process_of_another_user_now_names_nobody()
    {
        _client.Run("setuid 65534");
        Assert.Null(Identify(Errno.ENOPROTOOPT, out Errno errno));
        Assert.Equal(Errno.ESRCH, errno);

        // Where the kernel tells who it is, that is enough.
        using PeerProcess? process = PeerProcess.TryIdentify(_accepted, out uint uid, out errno);
        Assert.Equal(_client.Pid, process!.Pid);
        Assert.Equal(ProcessInfo.EffectiveUid, uid);
    }

    // Served without it, it would get the memory of the snapshot that is for everybody.
    [Fact]
    public void Peer_whose_cgroup_cannot_be_read_is_looked_for_later()
    {
        Assert.Null(PeerProcess.TryIdentify(_accepted, UnixSocket.TryGetPeerPidFd, _ => null, out _, out Errno errno));
        Assert.Equal(Errno.EAGAIN, errno);
        using PeerProcess? process = PeerProcess.TryIdentify(_accepted, out _);
        Assert.Equal(ProcessInfo.ReadCgroup(_client.Pid), process!.Identity.Cgroup);
    }

    private PeerProcess? Identify(Errno answer, out Errno errno) => PeerProcess.TryIdentify(
        _accepted,
        (SafeSocketFd _, out Errno why) =>
        {
            why = answer;
            return null;
        },
        ProcessInfo.ReadCgroup,
        out _,
        out errno);
}
