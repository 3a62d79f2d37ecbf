using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>Programs whose userfaultfd is not told of what the kernel does for them.</summary>
public sealed class UserModeOnlyTests : RestoreTest
{
    [Fact]
    public void Changed_pages_are_not_noted_and_snapshots_not_taken_of_them_by_the_next_manager_either()
    {
        ServedClient client = ServeUserMode();
        ulong at = client.MapRegistered(4 * Page);
        client.Client.WriteByte(at, 7);
        AssertRefused(client);
        client = Again(client, Restart());
        AssertRefused(client);

        // Nothing is protected: a system call writes to the page as before.
        Assert.Equal(7, client.Client.ReadByte(at));
        Assert.Equal(Page, client.Client.Run($"kwrite {at} {Page}"));
    }

    [Fact]
    public void Forked_child_is_of_the_same_kind()
    {
        ServedClient client = ServeUserMode();
        client.MapRegistered(4 * Page);
        client.Client.Run("fork");
        Track(client.Client.AcceptChild());
        Eventually.True(() => Engine.Sessions().Count == 2, "the child's session");
        ServedClient child = client with { Session = Engine.Sessions().Single(session => session.ParentId == client.Session.Id) };
        Assert.Equal(Errno.EOPNOTSUPP, Engine.StartTrackingAsync(child.Session).Finish().Error?.Errno);
    }

    [Fact]
    public void Who_does_not_say_so_has_system_calls_that_fail()
    {
        ServedClient client = ServeUserMode(isAnnounced: false);
        ulong at = client.MapRegistered(4 * Page);
        client.Client.WriteByte(at, 7);
        Assert.Null(Engine.StartTrackingAsync(client.Session).Finish().Error);
        Assert.Equal(Errno.EFAULT, client.Client.Begin($"kwrite {at} {Page}", 1).Await().Errno);
        Assert.Null(FaultEngine.StopTrackingAsync(client.Session).Finish().Error);
        Assert.Equal(Page, client.Client.Run($"kwrite {at} {Page}"));
    }

    private void AssertRefused(ServedClient client)
    {
        EngineError? refused = Engine.StartTrackingAsync(client.Session).Finish().Error;
        Assert.Equal((EngineErrorKind.Kernel, Errno.EOPNOTSUPP), (refused?.Kind, refused?.Errno));
        Assert.Contains("UFFD_USER_MODE_ONLY", refused!.Text, StringComparison.Ordinal);
        using SafeFile output = FileIo.Open(Temp.Combine($"out-{Engine.GetHashCode()}"), OpenFlags.ReadWrite | OpenFlags.Create);
        SnapshotReport report = FaultEngine.SnapshotAsync(client.Session, new SnapshotRequest { Output = output }, new SnapshotProgress(), CancellationToken.None).Finish();
        Assert.Equal(refused, report.Error);
    }

    private ServedClient ServeUserMode(bool isAnnounced = true)
    {
        ClientProcess client = StartClient();
        SafeUffd uffd = client.OpenUffd(UffdOpenFlags.UserModeOnly, out int number);
        AttachResult result = Engine.AttachAsync(new AttachRequest
        {
            Uffd = uffd,
            Pid = client.Pid,
            ProcessStartTime = StartTimeOf(client.Pid),
            PidFd = client.Handle.Duplicate<SafePidFd>(),
            Tenant = Alice,
            DefaultPolicy = Named,
            Label = "test",
            IsUserModeOnly = isAnnounced,
        }).Finish();
        Assert.Null(result.Error);
        return new ServedClient(Engine, client, result.Session!, number);
    }
}
