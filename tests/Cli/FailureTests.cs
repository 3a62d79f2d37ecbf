using System.Net.Sockets;
using System.Text.Json;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>Every way in which a manager can be out of reach or out of its mind has its exit code, its reason and its remedy.</summary>
public sealed class FailureTests
{
    private const string Head = "HTTP/1.1 200 OK\r\nUffd-Manager-Api: 1\r\nContent-Type: application/json\r\n";

    private static readonly string[] s_short = ["status", "--request-timeout", "300ms"];

    [Fact]
    public async Task No_socket_exits_69_with_its_path_and_a_remedy()
    {
        Uffdctl command = await Uffdctl.RunAsync("status", "--socket", "/nowhere/control.sock");
        Assert.Equal(69, command.ExitCode);
        Assert.Empty(command.Output);
        Assert.Contains("there is no socket at /nowhere/control.sock", command.Error, StringComparison.Ordinal);
        Assert.Contains("Is the manager running?", command.Error, StringComparison.Ordinal);
        Assert.Contains("UFFD_MANAGER_CONTROL", command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Socket_that_a_dead_manager_left_exits_69()
    {
        using TempDirectory directory = new();
        string path = directory.Combine("control.sock");
        using (Socket dead = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            dead.Bind(new UnixDomainSocketEndPoint(path));

            // Disposing would take the name away, which a killed process does not.
            File.Move(path, path + "-left");
        }

        Uffdctl command = await Uffdctl.RunAsync("status", "--socket", path + "-left");
        Assert.Equal(69, command.ExitCode);
        Assert.Contains("nobody listens at", command.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Socket_without_permission_exits_77_and_says_how_to_get_it()
    {
        const string Nobody = "65534";
        Require.Root();
        using FakeControl control = FakeManager.Start();
        string[] asNobody = ["setpriv", "--reuid", Nobody, "--regid", Nobody, "--clear-groups"];
        File.SetUnixFileMode(control.Directory.Path, (UnixFileMode)0b111_101_101);
        File.SetUnixFileMode(control.SocketPath, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Uffdctl readable = await Uffdctl.RunAsync(["-r", Uffdctl.Program[1]], [], "/", [.. asNobody, "test"]);
        Require.That(readable.ExitCode == 0, "the build lies below a directory that other users may not enter");

        Uffdctl command = await Uffdctl.RunAsync(["status", "--socket", control.SocketPath], [], "/", [.. asNobody, .. Uffdctl.Program]);
        Assert.Equal(77, command.ExitCode);
        Assert.Contains("no permission to connect", command.Error, StringComparison.Ordinal);
        Assert.Contains("group", command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Path_that_no_socket_can_have_exits_64()
    {
        Uffdctl command = await Uffdctl.RunAsync("status", "--socket", "/" + new string('x', 200));
        Assert.Equal(64, command.ExitCode);
        Assert.Contains("107 bytes", command.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("garbage\r\n\r\n", 76)]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n", 76)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 76)]
    [InlineData(Head + "Content-Length: 3\r\n\r\n\x01\x02\x03", 76)]
    [InlineData(Head + "Content-Length: 2\r\n\r\n{}", 76)]
    [InlineData(Head + "Content-Length: 4\r\n\r\nnull", 76)]
    [InlineData(Head + "Content-Length: 100\r\n\r\n{", 69)]
    [InlineData(Head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"ver\r\n", 69)]
    [InlineData("HTTP/1.1 200 OK\r\nUffd-Manag", 69)]
    [InlineData("", 69)]
    [InlineData("HTTP/1.1 500 Oops\r\nUffd-Manager-Api: 1\r\nContent-Length: 4\r\n\r\noops", 76)]
    public async Task Answer_that_is_none_exits_with_its_code(string bytes, int code)
    {
        using FakeControl control = new FakeControl().AnswerBytes("GET /v1/status", bytes);
        Uffdctl command = await Uffdctl.RunAsync(control, "status");
        Assert.Equal(code, command.ExitCode);
        Assert.Empty(command.Output);
        Assert.StartsWith("uffdctl: ", command.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", command.Error, StringComparison.Ordinal);
    }

    /// <remarks>
    /// A manager that is killed after it has done what was asked, and before it says so: its successor must not be asked for the same. Asked again for changed pages it would
    /// have forgotten which ones.
    /// </remarks>
    [Theory]
    [InlineData("session track pages 1 --reset", "POST")]
    [InlineData("session track start 1", "POST")]
    [InlineData("session track stop 1", "DELETE")]
    [InlineData("session snapshot 1 --out /tmp/never", "POST")]
    [InlineData("session snapshot 1 --cancel", "DELETE")]
    [InlineData("image remove one", "DELETE")]
    [InlineData("loglevel debug", "PUT")]
    public async Task What_changes_something_is_asked_for_once_though_the_answer_is_lost(string line, string method)
    {
        using FakeControl control = new FakeControl().AnswerBytes("*", "");
        Uffdctl command = await Uffdctl.RunAsync(control, line.Split(' '));
        Assert.Equal(69, command.ExitCode);
        Assert.Single(control.Requests, request => request.Method == method);
    }

    [Fact]
    public async Task Document_with_null_where_something_must_be_exits_76()
    {
        using FakeControl control = new FakeControl().AnswerText("GET /v1/sessions", """{"sessions":null,"next":null}""");
        Uffdctl command = await Uffdctl.RunAsync(control, "session", "list");
        Assert.Equal(76, command.ExitCode);
    }

    [Fact]
    public async Task Other_version_exits_76_and_names_both()
    {
        using FakeControl control = FakeManager.Start();
        control.ApiVersion = "7";
        Uffdctl command = await Uffdctl.RunAsync(control, "status");
        Assert.Equal(76, command.ExitCode);
        Assert.Contains("speaks version 7 of the control API, this program version 1", command.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("HTTP/1.1 200 OK\r\nUffd-Ma")]
    [InlineData(Head + "Content-Length: 100\r\n\r\n{")]
    public async Task Manager_that_hangs_exits_75_after_the_timeout(string bytes)
    {
        using FakeControl control = new FakeControl().Hang("GET /v1/status", bytes);
        Uffdctl command = await Uffdctl.RunAsync(control, s_short);
        Assert.Equal(75, command.ExitCode);
        Assert.Contains("did not answer within 300ms", command.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(400, "bad_request", 64)]
    [InlineData(403, "forbidden", 77)]
    [InlineData(404, "not_found", 66)]
    [InlineData(409, "conflict", 75)]
    [InlineData(422, "configuration_invalid", 78)]
    [InlineData(429, "busy", 75)]
    [InlineData(500, "internal", 70)]
    [InlineData(502, "kernel", 71)]
    [InlineData(503, "unavailable", 75)]
    [InlineData(403, "of_a_later_version", 77)]
    [InlineData(404, "of_a_later_version", 66)]
    [InlineData(500, "of_a_later_version", 70)]
    [InlineData(418, "of_a_later_version", 76)]
    public async Task Problem_of_the_manager_exits_with_its_code_and_is_told_with_its_remedy(int status, string name, int code)
    {
        using FakeControl control = new FakeControl().AnswerProblem("GET /v1/status", status, name, "It is\u001b[31m so.", "Do otherwise.");
        Uffdctl command = await Uffdctl.RunAsync(control, "status");
        Assert.Equal(code, command.ExitCode);
        Assert.Empty(command.Output);
        Assert.Equal("uffdctl: It is\uFFFD[31m so\nDo otherwise.\n", command.Error);
    }

    [Fact]
    public async Task Failure_is_one_document_where_documents_are_wanted()
    {
        using FakeControl control = new FakeControl().AnswerProblem("GET /v1/tenants/x", 404, "not_found", "There is no tenant x.");
        Uffdctl command = await Uffdctl.RunAsync(control, "tenant", "show", "x", "--json");
        Assert.Equal(66, command.ExitCode);
        using var document = JsonDocument.Parse(command.Output);
        JsonElement error = document.RootElement.GetProperty("error");
        Assert.Equal(66, error.GetProperty("exitCode").GetInt32());
        Assert.Equal("not_found", error.GetProperty("problem").GetString());
        Assert.Equal("There is no tenant x", error.GetProperty("message").GetString());
        Assert.Contains("There is no tenant x", command.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("..")]
    [InlineData(".")]
    [InlineData("")]
    public async Task Name_that_means_something_else_in_a_path_is_not_asked_for(string name)
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(control, "tenant", "show", name);
        Assert.Equal(66, command.ExitCode);
        Assert.Empty(control.Requests);
    }

    [Fact]
    public async Task Name_is_escaped_on_its_way()
    {
        using FakeControl control = FakeManager.Start();
        await Uffdctl.RunAsync(control, "tenant", "show", "a/b?c=ü");
        Assert.Equal("/v1/tenants/a%2Fb%3Fc%3D%C3%BC", Assert.Single(control.Requests).Target);
    }

    [Fact]
    public async Task Standard_output_that_is_full_exits_74()
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(
            ["-c", """exec "$@" >/dev/full""", "sh", .. Uffdctl.Program, "status", "--socket", control.SocketPath], [], "/", ["sh"]);
        Assert.Equal(74, command.ExitCode);
        Assert.Contains("standard output cannot be written", command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Reader_that_goes_away_ends_the_command_quietly()
    {
        using FakeControl control = new();
        FakeStream frames = control.AnswerStream("GET /v1/top");
        for (int i = 0; i < 10000; i++)
            frames.Write(Samples.Frame, UffdManager.Control.ControlJson.Default.TopFrameDto);
        Uffdctl command = await Uffdctl.RunAsync(
            ["-o", "pipefail", "-c", """ "$@" | head -n 1""", "bash", .. Uffdctl.Program, "top", "--batch", "--socket", control.SocketPath], [], "/", ["bash"]);
        Assert.Equal((0, ""), (command.ExitCode, command.Error));
        Assert.Single(command.Output.Trim().Split('\n'));
    }

    [Fact]
    public async Task Output_into_a_file_stands_where_the_shell_left_off()
    {
        using FakeControl control = FakeManager.Start();
        string file = control.Directory.Combine("out");
        await Uffdctl.RunAsync(
            ["-c", """{ echo before; "$@"; echo after; } >"$0" """, file, .. Uffdctl.Program, "tenant", "list", "--socket", control.SocketPath], [], "/", ["sh"]);
        string[] lines = await File.ReadAllLinesAsync(file);
        Assert.Equal(("before", "after", 5), (lines[0], lines[^1], lines.Length));
    }
}
