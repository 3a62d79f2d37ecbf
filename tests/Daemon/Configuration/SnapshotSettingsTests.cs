using UffdManager.Daemon.Configuration;
using Xunit;

namespace UffdManager.Daemon.Tests.Configuration;

/// <summary>The section <c>snapshots</c>.</summary>
public sealed class SnapshotSettingsTests
{
    private const string Sound = "\"image\": \"mem.bin\", \"tenant\": \"vms\", \"socket\": \"/run/fc.sock\"";

    [Fact]
    public void Snapshot_has_its_settings_and_the_defaults_of_the_others()
    {
        SnapshotOptions options = Layers.LoadValid(Document($$"""
            "web": { {{Sound}}, "policy": "vm", "protocol": "FireCracker", "owner": "0:5678", "mode": "0600", "timeout": "3s", "maxVms": 7, "match": { "uids": [5, 6], "cgroups": ["/vms"] } },
            "plain": { {{Sound.Replace("fc.sock", "other.sock", StringComparison.Ordinal)}} }
            """)).Snapshots["web"];
        Assert.Equal(("mem.bin", "vms", "vm", 7), (options.Image, options.Tenant, options.Policy, options.MaxVms));
        Assert.Equal(new SnapshotSocketOptions { Path = "/run/fc.sock", Uid = 0, Gid = 5678, Mode = 0b110_000_000, Timeout = TimeSpan.FromSeconds(3) }, options.Socket);
        Assert.Equal("firecracker", options.Socket.Protocol);
        Assert.Equal([5u, 6u], options.Match.Uids);
        Assert.Equal(["/vms"], options.Match.Cgroups);
        SnapshotOptions plain = Layers.LoadValid(Document($$""" "plain": { {{Sound}} } """)).Snapshots["plain"];
        Assert.Equal(("", 0, true), (plain.Policy, plain.MaxVms, plain.Match.IsEverybody));
        Assert.Equal(new SnapshotSocketOptions { Path = "/run/fc.sock", Mode = 0b110_110_000, Timeout = TimeSpan.FromSeconds(10) }, plain.Socket);
    }

    [Theory]
    [InlineData("", "snapshots.web.image: is required")]
    [InlineData("\"tenant\": \"nobody\"", "snapshots.web.tenant: \"nobody\" is not allowed; allowed are the names under tenants: vms")]
    [InlineData("\"policy\": \"zero\"", "snapshots.web.policy: \"zero\" is not allowed")]
    [InlineData("\"policy\": \"gone\"", "snapshots.web.policy: \"gone\" is not allowed")]
    [InlineData("\"owner\": \"no-such-user\"", "there is no user no-such-user")]
    [InlineData("\"owner\": \"0:no-such-group\"", "there is no group no-such-group")]
    [InlineData("\"owner\": \":\"", "allowed is USER:GROUP")]
    [InlineData("\"owner\": \"1:2:3\"", "allowed is USER:GROUP")]
    [InlineData("\"socket\": \"/run/a.new\"", "snapshots.web.socket: must not end in .new")]
    [InlineData("\"socket\": \"relative\"", "snapshots.web.socket: \"relative\" is not allowed")]
    [InlineData("\"socket\": \"/run/uffd-manager/manager.sock\"", "must be neither listen.socket nor control.socket")]
    [InlineData("\"socket\": \"/run/uffd-manager/control.sock\"", "must be neither listen.socket nor control.socket")]
    [InlineData("\"protocol\": \"qemu\"", "snapshots.web.protocol: \"qemu\" is not allowed; allowed")]
    [InlineData("\"protocol\": \"qemu\"", " firecracker")]
    [InlineData("\"colour\": 1", "snapshots.web.colour: is not a known key")]
    public void Mistake_is_told_with_its_key(string change, string error)
    {
        string web = change.Length == 0 ? "" : $"{Sound}, {change}";
        Assert.Contains(Layers.Errors(Document($"\"web\": {{ {Last(web)} }}")), text => text.Contains(error, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("\"listen\": { \"socket\": \"/run/fc.sock.new\" }")]
    [InlineData("\"control\": { \"enabled\": true, \"socket\": \"/run/fc.sock.new\" }")]
    public void Name_under_which_a_socket_is_made_is_that_of_no_other(string section)
    {
        string document = Document($"\"web\": {{ {Sound} }}").Replace("\"policies\":", $"{section}, \"policies\":", StringComparison.Ordinal);
        Assert.Contains(Layers.Errors(document), text => text.Contains("it is made under the name of one of them", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("", "", "everybody of that socket belongs to snapshots.a already")]
    [InlineData("\"match\": { \"uids\": [5] }", "\"match\": { \"uids\": [6, 5] }", "uid 5 of that socket belongs to snapshots.a already")]
    [InlineData("\"match\": { \"uids\": [5] }", "\"mode\": \"0666\"", "is that of snapshots.a, which gives another protocol, owner, mode or timeout")]
    public void Snapshots_that_share_a_socket_must_be_told_apart(string a, string b, string error)
    {
        string Entry(string more) => more.Length == 0 ? Sound : $"{Sound}, {more}";
        Assert.Contains(Layers.Errors(Document($"\"a\": {{ {Entry(a)} }}, \"b\": {{ {Entry(b)} }}")), text => text.Contains(error, StringComparison.Ordinal));
    }

    // Of a key that is given twice the last counts.
    private static string Last(string members) =>
        string.Join(", ", members.Split(", ", StringSplitOptions.RemoveEmptyEntries).GroupBy(member => member.Split(':')[0]).Select(group => group.Last()));

    private static string Document(string snapshots) => $$"""
        {
          "policies": { "vm": { "source": { "kind": "client" } }, "zero": {} },
          "tenants": { "vms": { "default": true, "defaultPolicy": "vm", "sourceDirectories": ["/srv"] } },
          "snapshots": { {{snapshots}} }
        }
        """;
}
