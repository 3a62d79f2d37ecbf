using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using UffdManager.EndToEnd.Tests;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Who may do what over the control socket, and peers that mean no good.</summary>
public sealed class ControlAccessTests
{
    private const uint Reader = 65501;
    private const uint Stranger = 65502;
    private const uint ReadGroup = 65503;
    private const uint AdminGroup = 65504;
    private const uint Administrator = 65505;

    private static readonly Dictionary<string, string> s_environment = new()
    {
        ["UFFD_MANAGER__control__mode"] = "0666",
        ["UFFD_MANAGER__control__readUids"] = $"{Reader}",
        ["UFFD_MANAGER__control__readGids"] = $"{ReadGroup}",
        ["UFFD_MANAGER__control__adminUids"] = $"{Administrator}",
        ["UFFD_MANAGER__control__adminGids"] = $"{AdminGroup}",
    };

    [SkippableFact]
    public async Task Right_goes_by_the_uid_and_the_groups_that_the_kernel_tells()
    {
        RequireOtherUsers();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(environment: s_environment);
        using ControlClient control = new(daemon);
        (uint Uid, uint Gid, uint? Group, int Look, int Change)[] cases =
        [
            (0, 0, null, 200, 200),
            (Reader, Reader, null, 200, 403),
            (Administrator, Administrator, null, 200, 200),
            (Stranger, ReadGroup, null, 200, 403),
            (Stranger, Stranger, ReadGroup, 200, 403),
            (Stranger, Stranger, AdminGroup, 200, 200),
            (Stranger, Stranger, null, 403, 403),
        ];
        foreach ((uint uid, uint gid, uint? group, int look, int change) in cases)
        {
            Assert.Equal((uid, gid, group, look), (uid, gid, group, await CurlAsync(control, uid, gid, group, "GET", "/v1/status")));
            Assert.Equal((uid, gid, group, change), (uid, gid, group, await CurlAsync(control, uid, gid, group, "POST", "/v1/reload")));
        }

        Assert.Equal(403, await CurlAsync(control, Reader, Reader, null, "GET", "/v1/bundle"));
        Assert.Equal(403, await CurlAsync(control, Reader, Reader, null, "DELETE", "/v1/sessions/1"));

        // Which files there are, wherever they are, is not for those who may look at the manager.
        Assert.Equal(200, await CurlAsync(control, Reader, Reader, null, "GET", "/v1/working-sets"));
        Assert.Equal(403, await CurlAsync(control, Reader, Reader, null, "GET", "/v1/working-sets?file=/etc/shadow"));
        Assert.Equal(403, await CurlAsync(control, Reader, Reader, null, "GET", "/v1/working-sets?file=/there/is/none"));
        Assert.Equal(200, await CurlAsync(control, Administrator, Administrator, null, "GET", "/v1/working-sets?file=/etc/passwd"));
        await daemon.WaitForLogAsync($"Control socket: uid {Reader} ");
        await daemon.WaitForLogAsync($"Control socket: uid {Stranger} ");
    }

    [SkippableFact]
    public async Task Mode_of_the_socket_keeps_out_who_has_no_right_to_it()
    {
        RequireOtherUsers();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        Assert.Equal(0, await CurlAsync(control, Stranger, Stranger, null, "GET", "/v1/status"));
        Assert.Equal(200, await CurlAsync(control, 0, 0, null, "GET", "/v1/status"));
    }

    [Fact]
    public async Task Garbage_and_half_requests_harm_nobody_else()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        byte[] noise = new byte[256 * 1024];
        new Random(3).NextBytes(noise);
        byte[][] openings =
        [
            noise,
            Encoding.ASCII.GetBytes("GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + new string('x', 100_000)),
            Encoding.ASCII.GetBytes("GET /" + new string('x', 20_000) + " HTTP/1.1\r\nHost: x\r\n\r\n"),
            Encoding.ASCII.GetBytes("PUT /v1/loglevel HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{"),
            Encoding.ASCII.GetBytes("PUT /v1/loglevel HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            Encoding.ASCII.GetBytes("GET /v1/status HTTP/1.1\r\n\r\n"),
            "\0\0\0\0"u8.ToArray(),
        ];
        foreach (byte[] opening in openings)
        {
            using Socket socket = await control.ConnectAsync();
            string answer = await ExchangeAsync(socket, opening);
            Assert.True(answer.Length == 0 || answer.StartsWith("HTTP/1.1 4", StringComparison.Ordinal), answer);
            await control.AskAsync("GET /v1/status");
        }

        using Socket tooLarge = await control.ConnectAsync();
        Assert.Contains("urn:uffd-manager:problem:too_large", await ExchangeAsync(tooLarge, openings[3]), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Silent_connections_lock_nobody_out()
    {
        RequireOtherUsers();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(environment: s_environment);
        using ControlClient control = new(daemon);
        await control.AskAsync("GET /v1/status");
        List<Socket> silent = [];
        try
        {
            // This test is root: 32 places are all that one user has.
            for (int i = 0; i < 40; i++)
                silent.Add(await control.ConnectAsync());
            await daemon.WaitForLogAsync("has as many connections as it may");
            Assert.Equal(200, await CurlAsync(control, Reader, Reader, null, "GET", "/v1/status"));

            // The one that was made first is still served.
            await control.AskAsync("GET /v1/status");
        }
        finally
        {
            silent.ForEach(socket => socket.Dispose());
        }

        Eventually.True(() => CurlAsync(control, 0, 0, null, "GET", "/v1/status").GetAwaiter().GetResult() == 200, "the places to be free again");
    }

    [Fact]
    public async Task Streams_are_bounded_and_end_with_the_daemon()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ControlClient control = new(daemon);
        List<HttpResponseMessage> streams = [];
        try
        {
            for (int i = 0; i < 16; i++)
                streams.Add(await control.SendAsync("GET /v1/top?interval=100ms", body: null));
            JsonElement busy = await control.AskAsync("GET /v1/top", System.Net.HttpStatusCode.TooManyRequests);
            Assert.Equal("urn:uffd-manager:problem:busy", busy.GetProperty("type").GetString());

            Task<string> last = streams[0].Content.ReadAsStringAsync();
            Assert.Equal(0, await daemon.StopAsync());
            Assert.EndsWith("}\n", await last, StringComparison.Ordinal);
            Assert.False(File.Exists(control.SocketPath));
        }
        finally
        {
            streams.ForEach(stream => stream.Dispose());
        }
    }

    [Fact]
    public async Task Daemon_without_a_control_socket_has_none()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(environment: new Dictionary<string, string> { ["UFFD_MANAGER__control__enabled"] = "false" });
        using ControlClient control = new(daemon);
        Assert.False(File.Exists(control.SocketPath));
    }

    private static void RequireOtherUsers()
    {
        Require.That(Environment.IsPrivilegedProcess, "needs root, to become other users");
        Require.That(File.Exists("/usr/bin/curl") && File.Exists("/usr/bin/setpriv"), "needs curl and setpriv");
    }

    /// <summary>The status that another user gets; 0 when it cannot even connect.</summary>
    private static async Task<int> CurlAsync(ControlClient control, uint uid, uint gid, uint? group, string method, string path)
    {
        string groups = group is null ? "--clear-groups" : $"--groups={group}";
        ProcessStartInfo start = new(
            "setpriv",
            [$"--reuid={uid}", $"--regid={gid}", groups, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, "--unix-socket", control.SocketPath, $"http://localhost{path}"])
        {
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        using Process curl = Process.Start(start)!;
        string status = await curl.StandardOutput.ReadToEndAsync();
        await curl.WaitForExitAsync();
        return int.Parse(status);
    }

    // Whatever the daemon says until it closes or is silent for a moment.
    private static async Task<string> ExchangeAsync(Socket socket, byte[] opening)
    {
        using CancellationTokenSource patience = new(TimeSpan.FromSeconds(30));
        StringBuilder answer = new();
        try
        {
            await socket.SendAsync(opening, patience.Token);
            byte[] buffer = new byte[4096];
            while (await socket.ReceiveAsync(buffer, patience.Token) is > 0 and var read)
            {
                answer.Append(Encoding.UTF8.GetString(buffer, 0, read));
                if (answer.ToString().Contains("\"errors\":", StringComparison.Ordinal))
                    break;
            }
        }
        catch (SocketException)
        {
            // Closed while we were still sending: what a peer deserves that does not stop.
        }

        return answer.ToString();
    }
}
