using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>The daemon as an ordinary user, for that user's own programs.</summary>
public sealed class UnprivilegedTests
{
    private const uint Nobody = 65534;
    private const ulong Length = 8 * 4096;

    [SkippableFact]
    public async Task Ordinary_user_serves_user_mode_faults_of_his_own_programs_and_is_told_what_is_lost()
    {
        Require.Root();
        Skip.IfNot(await DaemonProcess.IsReadableByAsync(Nobody), "the build output cannot be read by other users");
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(uid: Nobody);
        await daemon.WaitForLogAsync("no CAP_SYS_PTRACE");
        await daemon.WaitForLogAsync("no CAP_KILL");

        using ClientProcess client = ClientProcess.Start();
        client.Run($"setuid {Nobody}");
        using WireConnection connection = WireConnection.Open(client, daemon.SocketPath);
        using SafeUffd uffd = client.OpenUffd(UffdOpenFlags.UserModeOnly, out _);
        WelcomeMessage welcome = connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.HasUffd), uffd);
        Assert.Equal(0ul, welcome.FeaturesEnabled & (ulong)UffdFeatures.EventFork);

        ulong address = client.Map("anon", Length).Address;
        connection.Ask<RegisteredMessage>(WireConnection.Register(address, Length));
        Assert.True(client.IsFilledWith(address, Length, 0));
        Assert.Equal(8ul, connection.Ask<StatusReplyMessage>(new StatusMessage()).Faults);
        Assert.Equal(0, await daemon.StopAsync());
    }
}
