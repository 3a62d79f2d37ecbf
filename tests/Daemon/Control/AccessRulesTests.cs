using UffdManager.Daemon.Control;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

public sealed class AccessRulesTests
{
    private const string Lists = """
        { "control": { "readUids": [1001], "readGids": [2001], "adminUids": [1002], "adminGids": [2002] } }
        """;

    private static readonly uint s_own = ProcessInfo.EffectiveUid;

    [Theory]
    [InlineData(0, 0, "", nameof(AccessRight.Admin))]
    [InlineData(1001, 5, "", nameof(AccessRight.Read))]
    [InlineData(1002, 5, "", nameof(AccessRight.Admin))]
    [InlineData(1003, 2001, "", nameof(AccessRight.Read))]
    [InlineData(1003, 5, "7 2001", nameof(AccessRight.Read))]
    [InlineData(1003, 2002, "", nameof(AccessRight.Admin))]
    [InlineData(1003, 5, "2001 2002", nameof(AccessRight.Admin))]
    [InlineData(1001, 5, "2002", nameof(AccessRight.Admin))]
    [InlineData(1003, 5, "7 8", nameof(AccessRight.None))]
    [InlineData(2001, 1001, "", nameof(AccessRight.None))]
    public void Right_is_the_greatest_that_the_user_or_a_group_has(uint uid, uint gid, string groups, string right)
    {
        uint[] supplementary = [.. groups.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(uint.Parse)];
        Assert.Equal(right, Rules(Lists).Of(new ControlPeer(new PeerCredentials(1, uid, gid), supplementary)).ToString());
    }

    [Fact]
    public void Own_user_of_the_daemon_may_do_everything_without_any_list() =>
        Assert.Equal(AccessRight.Admin, Rules("{}").Of(new ControlPeer(new PeerCredentials(1, s_own, 5), [])));

    [Fact]
    public void Rights_follow_a_reload()
    {
        ConfigurationInUse inUse = new(Layers.Load(Layers.Minimal, Lists), TimeProvider.System);
        AccessRules rules = new(inUse);
        ControlPeer reader = new(new PeerCredentials(1, 1001, 5), []);
        Assert.Equal(AccessRight.Read, rules.Of(reader));
        inUse.Replace(Layers.Load(Layers.Minimal), []);
        Assert.Equal(AccessRight.None, rules.Of(reader));
    }

    private static AccessRules Rules(string lists) => new(new ConfigurationInUse(Layers.Load(Layers.Minimal, lists), TimeProvider.System));
}
