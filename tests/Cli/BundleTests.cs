using System.Text.Json.Nodes;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>The support archive becomes a file, whole or not at all.</summary>
public sealed class BundleTests : IDisposable
{
    private static readonly byte[] s_archive = [.. Enumerable.Range(0, 200_000).Select(i => (byte)(i * 7))];

    private readonly FakeControl _control = new();
    private readonly TempDirectory _directory = new();

    public void Dispose()
    {
        _control.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Archive_gets_the_name_that_the_manager_proposes_and_nobody_else_may_read_it()
    {
        Answer("bundle-1.tar.gz");
        Uffdctl command = await RunAsync();
        Assert.Equal((0, "bundle-1.tar.gz: 195KiB\n"), (command.ExitCode, command.Output));
        string file = Assert.Single(Directory.GetFiles(_directory.Path));
        Assert.Equal(_directory.Combine("bundle-1.tar.gz"), file);
        Assert.Equal(s_archive, await File.ReadAllBytesAsync(file));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
    }

    [Theory]
    [InlineData("../../escaped.tar.gz", "escaped.tar.gz")]
    [InlineData("/etc/passwd", "passwd")]
    [InlineData("..", "uffd-manager-bundle.tar.gz")]
    [InlineData(null, "uffd-manager-bundle.tar.gz")]
    public async Task Proposed_name_cannot_leave_the_directory(string? proposal, string name)
    {
        Answer(proposal);
        Assert.Equal(0, (await RunAsync()).ExitCode);
        Assert.Equal(_directory.Combine(name), Assert.Single(Directory.GetFiles(_directory.Path)));
    }

    [Fact]
    public async Task Proposed_name_never_replaces_a_file()
    {
        Answer("bundle.tar.gz");
        _directory.WriteFile("bundle.tar.gz", "old"u8);
        Uffdctl command = await RunAsync();
        Assert.Equal(73, command.ExitCode);
        Assert.Contains("bundle.tar.gz exists", command.Error, StringComparison.Ordinal);
        Assert.Equal("old", await File.ReadAllTextAsync(_directory.Combine("bundle.tar.gz")));
    }

    [Fact]
    public async Task Named_file_is_replaced_and_documents_say_where_it_is()
    {
        Answer("bundle.tar.gz");
        string file = _directory.WriteFile("mine", "old"u8);
        Uffdctl command = await RunAsync("-o", file, "--json");
        Assert.Equal(0, command.ExitCode);
        JsonNode document = JsonNode.Parse(command.Output)!;
        Assert.Equal((file, (long)s_archive.Length), ((string)document["file"]!, (long)document["bytes"]!));
        Assert.Equal(s_archive, await File.ReadAllBytesAsync(file));
    }

    [Fact]
    public async Task Device_that_is_named_stays_a_device()
    {
        Answer("bundle.tar.gz");
        Assert.Equal(0, (await RunAsync("-o", "/dev/null")).ExitCode);
        Uffdctl kind = await Uffdctl.RunAsync(["-c", "/dev/null"], [], "/", ["test"]);
        Assert.Equal(0, kind.ExitCode);
    }

    [Theory]
    [InlineData("/nowhere/bundle")]
    [InlineData("/")]
    [InlineData("/proc/bundle")]
    public async Task File_that_cannot_be_made_exits_73(string file)
    {
        Answer("bundle.tar.gz");
        Uffdctl command = await RunAsync("-o", file);
        Assert.Equal(73, command.ExitCode);
        Assert.Contains("the archive cannot be written", command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Archive_goes_to_standard_output_byte_by_byte()
    {
        Answer("bundle.tar.gz");
        string file = _directory.Combine("redirected");
        Uffdctl command = await Uffdctl.RunAsync(
            ["-c", """ "$@" | cat >"$0" """, file, .. Uffdctl.Program, "bundle", "-o", "-", "--socket", _control.SocketPath], [], "/", ["sh"]);
        Assert.Equal((0, ""), (command.ExitCode, command.Error));
        Assert.Equal(s_archive, await File.ReadAllBytesAsync(file));
    }

    [Fact]
    public async Task Archive_that_breaks_off_leaves_no_file()
    {
        _control.AnswerBytes("GET /v1/bundle", _control.Head(200, "application/gzip", 1000) + "only a part");
        Uffdctl command = await RunAsync();
        Assert.Equal(69, command.ExitCode);
        Assert.Empty(Directory.GetFiles(_directory.Path));
    }

    [Fact]
    public async Task Refusal_leaves_no_file()
    {
        _control.AnswerProblem("GET /v1/bundle", 429, "busy", "Another bundle is being made.");
        Assert.Equal(75, (await RunAsync()).ExitCode);
        Assert.Empty(Directory.GetFiles(_directory.Path));
    }

    private void Answer(string? name)
    {
        string disposition = name is null ? "" : $"Content-Disposition: attachment; filename=\"{name}\"\r\n";
        _control.AnswerBytes("GET /v1/bundle", _control.Head(200, "application/gzip", s_archive.Length, disposition), s_archive);
    }

    private Task<Uffdctl> RunAsync(params string[] arguments) =>
        Uffdctl.RunAsync(["bundle", .. arguments, "--socket", _control.SocketPath], [], _directory.Path);
}
