using System.Security.Cryptography;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>What the .NET client library does when it loses its connection or its manager.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class ClientReconnectTests : IDisposable
{
    private const int Page = 4096;

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Lost_connection_is_made_again_and_finds_the_session_as_it_was()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        string session = (await client.RunAsync($"connect c {daemon.SocketPath}"))[2];
        await client.RunAsync($"create r c {8 * Page}");
        await client.RunAsync($"populate r 0 {Page}");

        await client.RunAsync("lose c");
        string[] status = await client.RunAsync("status c");

        Assert.Equal(["everybody", "active", session, "1", $"{8 * Page}", "1"], status);
        Assert.Equal(["True", "1", "0"], await client.RunAsync("reconnected c"));
        await client.RunAsync($"populate r {Page} {Page}");
    }

    [Fact]
    public async Task Session_goes_on_with_the_next_manager_after_the_first_was_killed()
    {
        await using DaemonSequence daemons = await DaemonSequence.StartAsync(Configuration);
        byte[] image = await WriteImageAsync(64 * Page);
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemons.SocketPath}");
        await client.RunAsync($"create file c {64 * Page} policy=file path={ImagePath} remove-means-source=yes");
        ulong zero = await client.RunNumberAsync($"create zero c {16 * Page}");
        await client.RunAsync($"unregister c {zero + (8 * Page)} {8 * Page}");
        await client.RunAsync($"populate file 0 {8 * Page}");
        await client.RunAsync($"populate zero 0 {Page}");
        await client.RunAsync("poke zero 0 42");

        daemons.Kill();

        // Waits in the kernel, in a system call, until there is a manager again.
        Task<string[]> populated = client.BeginAsync($"populate file 0 {64 * Page}");
        await daemons.StartNextAsync();
        string[] report = await client.RunAsync("reconnected c");
        await populated.WaitAsync(Eventually.DefaultDeadline);

        Assert.Equal(("False", "0"), (report[0], report[2]));
        Assert.Equal([Digest(image)], await client.RunAsync($"digest file 0 {64 * Page}"));
        await client.RunAsync($"populate zero 0 {16 * Page}");
        Assert.Equal(["42"], await client.RunAsync("peek zero 0"));
        Assert.Equal([Digest(new byte[16 * Page - 1])], await client.RunAsync($"digest zero 1 {16 * Page - 1}"));
        Assert.Equal(["active", $"{72 * Page}"], Picked(await client.RunAsync("status c"), 1, 4));
    }

    [Fact]
    public async Task Request_made_while_no_manager_is_there_is_carried_out_by_the_next_one()
    {
        await using DaemonSequence daemons = await DaemonSequence.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemons.SocketPath}");
        daemons.Kill();

        Task<string[]> asked = client.BeginAsync($"create r c {4 * Page}");
        await daemons.StartNextAsync();
        await asked.WaitAsync(Eventually.DefaultDeadline);

        await client.RunAsync($"populate r 0 {4 * Page}");
        Assert.Equal("4", (await client.RunAsync("status c"))[5]);
    }

    [Fact]
    public async Task Client_that_is_not_to_reconnect_fails_when_the_manager_is_gone()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemon.SocketPath} reconnect=no");
        daemon.Kill();

        ClientRefusedException gone = await Assert.ThrowsAsync<ClientRefusedException>(() => client.RunAsync("status c"));

        Assert.Equal(ErrorCode.None, gone.Error.Code);
    }

    /// <summary>What is missing can neither be read nor be zeros: its reader waits until the source is there again.</summary>
    [Fact]
    public async Task Range_whose_source_the_next_manager_cannot_open_waits_until_it_can()
    {
        await using DaemonSequence daemons = await DaemonSequence.StartAsync(Configuration);
        byte[] image = await WriteImageAsync(16 * Page);
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemons.SocketPath}");
        await client.RunAsync($"create file c {16 * Page} policy=file path={ImagePath}");
        daemons.Kill();
        File.Move(ImagePath, ImagePath + ".away");

        Task<string[]> populated = client.BeginAsync($"populate file 0 {16 * Page}");
        await daemons.StartNextAsync();
        Assert.Equal([$"{ErrorCode.Source}", $"{Errno.ENOENT}"], await client.RunAsync("refused c"));
        Assert.Equal([$"{ErrorCode.Source}", $"{Errno.ENOENT}"], await client.RunAsync("refused c"));
        Assert.False(populated.IsCompleted);
        File.Move(ImagePath + ".away", ImagePath);

        Assert.Equal("0", (await client.RunAsync("reconnected c"))[2]);
        await populated.WaitAsync(Eventually.DefaultDeadline);
        Assert.Equal([Digest(image)], await client.RunAsync($"digest file 0 {16 * Page}"));
    }

    [Fact]
    public async Task Client_whose_source_the_next_manager_never_opens_is_killed_with_a_reason()
    {
        await using DaemonSequence daemons = await DaemonSequence.StartAsync(Configuration);
        await WriteImageAsync(16 * Page);
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemons.SocketPath}");
        await client.RunAsync($"create file c {16 * Page} policy=file path={ImagePath}");
        daemons.Kill();
        File.Delete(ImagePath);

        await daemons.StartNextAsync(new Dictionary<string, string> { ["UFFD_MANAGER__engine__adoptionTimeout"] = "2s" });

        Assert.Equal([$"{ErrorCode.Source}", $"{Errno.ENOENT}"], await client.RunAsync("refused c"));
        await client.WaitForExitAsync();
        await daemons.Current.WaitForLogAsync("never said what its ranges contain");
    }

    private string ImagePath => Path.Combine(_directory.Path, "image");

    private string Configuration => $$"""
        {
          "policies": { "zero": {}, "file": { "source": { "kind": "client" }, "removeMeans": "source" } },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "zero", "policies": ["*"], "sourceDirectories": ["{{_directory.Path}}"] } }
        }
        """;

    private static string Digest(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private static string[] Picked(string[] values, params int[] at) => [.. at.Select(index => values[index])];

    private async Task<byte[]> WriteImageAsync(int length)
    {
        byte[] image = new byte[length];
        new Random(length).NextBytes(image);
        await File.WriteAllBytesAsync(ImagePath, image);
        return image;
    }
}
