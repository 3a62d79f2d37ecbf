using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>VMMs as a jailer starts them: another user, under another root directory, in namespaces of their own for processes and mounts, in a control group.</summary>
[Collection(SnapshotCollection.Name)]
public sealed class JailTests : IDisposable
{
    private const uint JailUser = 1500;
    private static readonly string[] s_shared = [.. new[] { "usr", "lib", "lib64" }.Where(name => Directory.Exists($"/{name}"))];

    private readonly TempDirectory _directory = new();
    private readonly string _jail;
    private readonly byte[] _image = new byte[2 * 1024 * 1024];

    public JailTests()
    {
        new Random(5).NextBytes(_image);

        // The socket's address is longer than an address can be.
        _jail = _directory.Combine($"jailer/firecracker/{new string('v', 60)}/root");
        Assert.True(SocketPath.Length > 108);
    }

    private string SocketPath => Path.Combine(_jail, "run/fc.sock");

    public void Dispose() => _directory.Dispose();

    [SkippableFact]
    public async Task Vm_in_a_jail_is_served_at_a_socket_that_was_made_for_its_user_at_run_time()
    {
        await using DaemonProcess daemon = await StartAsync();
        await ServeAsync($$"""{ "name": "jail", "image": "mem.bin", "tenant": "vms", "socket": "{{SocketPath}}", "owner": "{{JailUser}}:{{JailUser}}", "mode": "0600" }""");
        Assert.Equal(Errno.OK, FileIo.TryStat(SocketPath, out FileStatus status));
        Assert.Equal((JailUser, JailUser), (status.Uid, status.Gid));

        using JailedVm vm = StartInJail("run");

        (int exitCode, string output) = await vm.EndAsync();
        Assert.True(exitCode == Emulator.Right, $"ended with {exitCode}: {output}\n{string.Join('\n', daemon.LogLines)}");
        Assert.Contains("ok ", output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Vm_in_a_jail_that_cannot_be_served_is_killed_by_the_number_that_it_has_outside()
    {
        await using DaemonProcess daemon = await StartAsync();
        await ServeAsync($$"""{ "name": "jail", "image": "mem.bin", "tenant": "vms", "socket": "{{SocketPath}}", "owner": "{{JailUser}}:{{JailUser}}", "mode": "0600" }""");

        using JailedVm vm = StartInJail("hostile past-end");

        (int exitCode, string output) = await vm.EndAsync();
        Assert.True(exitCode == Emulator.Killed, $"ended with {exitCode}: {output}\n{string.Join('\n', daemon.LogLines)}");
        await daemon.WaitForLogAsync("VM killed at its hand-over");
    }

    [SkippableFact]
    public async Task Vms_at_one_socket_are_told_apart_by_their_control_groups()
    {
        using MemoryCgroup group = MemoryCgroup.Create(1L << 30);
        byte[] other = new byte[_image.Length];
        _directory.WriteFile("other.bin", other);
        await using DaemonProcess daemon = await StartAsync();
        using JailedVm inside = StartInJail("run", waits: true);
        using JailedVm outside = StartInJail("hostile past-end", waits: true);
        string? before = ProcessInfo.ReadCgroup(inside.Id);
        group.Add(inside.Id);
        string? path = ProcessInfo.ReadCgroup(inside.Id);
        Require.That(path is not null && path != before, "the control groups that tell processes apart here are not those of the memory controller");
        string socket = $$""" "tenant": "vms", "socket": "{{SocketPath}}", "owner": "{{JailUser}}", "mode": "0600" """;
        await ServeAsync($$"""{ "name": "grouped", "image": "mem.bin", {{socket}}, "match": { "cgroups": [{{JsonSerializer.Serialize(path)}}] } }""");
        await ServeAsync($$"""{ "name": "rest", "image": "other.bin", {{socket}} }""");

        await inside.GoOnAsync();
        (int exitCode, string output) = await inside.EndAsync();
        Assert.True(exitCode == Emulator.Right, $"ended with {exitCode}: {output}\n{string.Join('\n', daemon.LogLines)}");
        await outside.GoOnAsync();
        Assert.Equal(Emulator.Killed, (await outside.EndAsync()).ExitCode);
        Assert.Equal((1, 0), await CountsAsync("grouped"));
        Assert.Equal((0, 1), await CountsAsync("rest"));
    }

    private async Task<(int HandedOver, int Refused)> CountsAsync(string name)
    {
        using HttpClient control = Control();
        using JsonDocument snapshot = JsonDocument.Parse(await control.GetStringAsync(new Uri($"v1/snapshots/{name}", UriKind.Relative)));
        return (snapshot.RootElement.GetProperty("handedOver").GetInt32(), snapshot.RootElement.GetProperty("refused").GetInt32());
    }

    private HttpClient Control() => new(new SocketsHttpHandler
    {
        ConnectCallback = async (_, cancel) =>
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(ControlPath), cancel);
            return new NetworkStream(socket, ownsSocket: true);
        },
    })
    {
        BaseAddress = new Uri("http://localhost/"),
    };

    private string ControlPath => _directory.Combine("control.sock");

    private Task<DaemonProcess> StartAsync()
    {
        Require.Mounting();
        Require.That(File.Exists("/dev/userfaultfd"), "there is no /dev/userfaultfd");
        _directory.WriteFile("mem.bin", _image);
        foreach (string name in (string[])["dev", "proc", "run", .. s_shared])
            Directory.CreateDirectory(Path.Combine(_jail, name));
        Install(SnapshotImages.Emulator, "vmm", 0b111_101_101);
        Install(_directory.Combine("mem.bin"), "mem.bin", 0b110_100_100);
        return DaemonProcess.StartAsync(
            $$"""
            {
              "control": { "socket": "{{ControlPath}}" },
              "policies": { "vm": { "source": { "kind": "client" } } },
              "tenants": { "vms": { "default": true, "defaultPolicy": "vm", "sourceDirectories": ["{{_directory.Path}}"] } }
            }
            """);
    }

    private async Task ServeAsync(string request)
    {
        using HttpClient control = Control();
        using StringContent body = new(request, Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await control.PostAsync(new Uri("v1/snapshots", UriKind.Relative), body);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }

    private JailedVm StartInJail(string mode, bool waits = false)
    {
        // All mounts are of the VM's own namespace, and go with it. A device in a directory of /tmp may be none.
        string script = $"""
            set -e
            {string.Join('\n', s_shared.Select(name => $"mount --bind /{name} {_jail}/{name}"))}
            mount -t tmpfs none {_jail}/dev
            mknod -m 666 {_jail}/dev/userfaultfd c $(stat -c '0x%t 0x%T' /dev/userfaultfd)
            mount -t proc proc {_jail}/proc
            chroot --userspec={JailUser}:{JailUser} {_jail} /vmm {mode} --socket /run/fc.sock --image /mem.bin --patience 30 || exit $?
            """;
        string[] jailed = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "sh", "-c", script];
        return new JailedVm(waits ? "read -r line; exec \"$@\"" : "exec \"$@\"", jailed);
    }

    private void Install(string from, string name, int mode)
    {
        string to = Path.Combine(_jail, name);
        File.Copy(from, to);
        File.SetUnixFileMode(to, (UnixFileMode)mode);
    }

    /// <summary>What was started for a VM; at the latest it ends with the test, and all that it started with it.</summary>
    private sealed class JailedVm(string script, string[] arguments) : IDisposable
    {
        private readonly Process _process = Process.Start(new ProcessStartInfo("sh", ["-c", script, "sh", .. arguments])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;

        public int Id => _process.Id;

        public async Task GoOnAsync()
        {
            await _process.StandardInput.WriteAsync("\n");
            await _process.StandardInput.FlushAsync();
        }

        public async Task<(int ExitCode, string Output)> EndAsync()
        {
            using CancellationTokenSource patience = new(TimeSpan.FromSeconds(120));
            Task<string> output = _process.StandardOutput.ReadToEndAsync(patience.Token);
            Task<string> errors = _process.StandardError.ReadToEndAsync(patience.Token);
            await _process.WaitForExitAsync(patience.Token);
            return (_process.ExitCode, await output + await errors);
        }

        public void Dispose()
        {
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
        }
    }
}
