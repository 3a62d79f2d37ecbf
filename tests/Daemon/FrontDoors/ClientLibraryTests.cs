using System.Security.Cryptography;
using UffdManager.Client;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>The .NET client library, in a program of its own, against the real daemon.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class ClientLibraryTests : IDisposable
{
    private const int Page = 4096;

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Anonymous_region_reads_zeros_and_keeps_what_is_written()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        Assert.Equal(["everybody", "zero"], (await client.RunAsync($"connect c {daemon.SocketPath}"))[..2]);
        await client.RunAsync($"create r c {64 * Page}");

        await client.RunAsync($"populate r 0 {8 * Page}");
        Assert.Equal([Digest(new byte[8 * Page])], await client.RunAsync($"digest r 0 {8 * Page}"));
        await client.RunAsync("poke r 5 99");
        ulong installed = await client.RunNumberAsync($"prefetch r 0 {64 * Page}");

        Assert.Equal(56ul * Page, installed);
        Assert.Equal(["99"], await client.RunAsync("peek r 5"));
        Assert.Equal(["everybody", "active", "1", $"{64 * Page}"], Picked(await client.RunAsync("status c"), 0, 1, 3, 4));
    }

    [Theory]
    [InlineData("")]
    [InlineData("descriptor=yes")]
    public async Task File_is_mapped_lazily_and_comes_back_after_it_was_given_up(string how)
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        byte[] image = await WriteImageAsync(64 * Page);
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemon.SocketPath} policy=file");
        await client.RunAsync($"map-file r c {ImagePath} {2 * Page} {32 * Page} {how}");

        await client.RunAsync($"populate r 0 {32 * Page}");
        Assert.Equal([Digest(image.AsSpan(2 * Page, 32 * Page))], await client.RunAsync($"digest r 0 {32 * Page}"));
        await client.RunAsync($"poke r 0 {(byte)~image[2 * Page]}");
        Assert.Equal(["OK"], await client.RunAsync($"advise r 0 {Page} DontNeed"));

        await client.RunAsync($"populate r 0 {Page}");
        Assert.Equal([$"{image[2 * Page]}"], await client.RunAsync("peek r 0"));
    }

    [Fact]
    public async Task Write_protected_range_is_served_when_it_is_written()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemon.SocketPath}");
        ulong address = await client.RunNumberAsync($"create r c {4 * Page} write-protect=yes");
        await client.RunAsync($"prefetch r 0 {4 * Page}");
        await client.RunAsync($"protect c {address} {4 * Page} on");

        Assert.Equal(["OK"], await client.RunAsync($"advise r 0 {4 * Page} PopulateWrite"));

        Assert.Equal("4", (await client.RunAsync("status c"))[5]);
        await client.RunAsync($"protect c {address} {4 * Page} off");
    }

    [Fact]
    public async Task Refusal_is_an_exception_with_code_errno_and_holder()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        long first = long.Parse((await client.RunAsync($"connect first {daemon.SocketPath}"))[2]);
        await client.RunAsync($"connect second {daemon.SocketPath}");
        ulong address = await client.RunNumberAsync($"create r first {4 * Page}");

        ClientRefusedException refusal = await Assert.ThrowsAsync<ClientRefusedException>(
            () => client.RunAsync($"register second {address} {4 * Page}"));

        Assert.Equal((ErrorCode.Conflict, Errno.EBUSY), (refusal.Error.Code, refusal.Error.Errno));
        Assert.Equal(new RangeHolder(first, client.Pid, "everybody", address, 4 * Page), refusal.Error.Holder);
        await client.RunAsync($"create other second {4 * Page}");
        await client.RunAsync($"populate other 0 {4 * Page}");
    }

    [Fact]
    public async Task Nobody_at_the_socket_is_an_exception()
    {
        await using DotnetClient client = DotnetClient.Start();
        ClientRefusedException missing = await Assert.ThrowsAsync<ClientRefusedException>(
            () => client.RunAsync("connect c /nonexistent/manager.sock"));
        Assert.Equal((nameof(UffdManagerException), ErrorCode.None, Errno.ENOENT), (missing.Error.Type, missing.Error.Code, missing.Error.Errno));
    }

    [Fact]
    public async Task Tenant_can_be_asked_for_its_numbers_without_a_session()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemon.SocketPath}");
        await client.RunAsync($"create r c {4 * Page}");
        await client.RunAsync($"populate r 0 {4 * Page}");

        string[] status = await client.RunAsync($"query {daemon.SocketPath}");

        Assert.Equal(["everybody", "control", "0", "1", $"{4 * Page}", "4"], status);
    }

    [Fact]
    public async Task Own_userfaultfd_can_be_handed_over()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemon.SocketPath} own=yes label=own");
        await client.RunAsync($"create r c {Page}");
        await client.RunAsync($"populate r 0 {Page}");
        Assert.Equal("1", (await client.RunAsync("status c"))[5]);
    }

    [Fact]
    public async Task Shared_object_is_mapped_and_filled_by_the_manager()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        byte[] image = await WriteImageAsync(16 * Page);
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemon.SocketPath}");
        await client.RunAsync($"map-object o c {16 * Page} policy=file path={ImagePath}");
        await client.RunAsync("view one c o");
        await client.RunAsync("view two c o");

        await client.RunAsync($"populate one 0 {16 * Page}");
        await client.RunAsync($"populate two 0 {16 * Page}");

        Assert.Equal([Digest(image)], await client.RunAsync($"digest one 0 {16 * Page}"));
        Assert.Equal([Digest(image)], await client.RunAsync($"digest two 0 {16 * Page}"));
    }

    [Fact]
    public async Task Disposed_client_leaves_no_descriptor_behind()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect warm {daemon.SocketPath}");
        await client.RunAsync("status warm");
        await client.RunAsync("dispose warm");
        DescriptorWatch watch = DescriptorWatch.Start(client.Pid);

        await client.RunAsync($"connect c {daemon.SocketPath}");
        await client.RunAsync($"create r c {4 * Page}");
        await client.RunAsync($"populate r 0 {4 * Page}");
        await client.RunAsync("dispose r");
        await client.RunAsync("dispose c");

        watch.AssertUnchanged();
    }

    /// <summary>
    /// The manager closes the connection right behind its answer to BYE. A client that took this for a lost connection would hand its userfaultfd
    /// over again and then wait for the end of a session that nobody wanted.
    /// </summary>
    [Fact]
    public async Task Client_that_takes_leave_does_not_come_back()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DotnetClient client = DotnetClient.Start();

        await client.RunAsync($"churn {daemon.SocketPath} 300");

        // The last one is answered before its end is told to who counts.
        string metrics = "";
        Eventually.True(
            () => (metrics = daemon.GetAsync("metrics").GetAwaiter().GetResult()).Contains("uffd_manager_sessions_ended_total{reason=\"bye\",tenant=\"everybody\"} 300\n", StringComparison.Ordinal),
            "the end of 300 sessions to be counted");
        Assert.Contains("uffd_manager_connections_opened_total{door=\"native\",tenant=\"everybody\"} 300\n", metrics, StringComparison.Ordinal);
    }

    /// <summary>
    /// Why the library tells its users to populate first, and why these clients are processes of their own: the collector has to stop all managed
    /// threads, and one that waits for a page cannot be stopped.
    /// </summary>
    [Theory]
    [InlineData("peek r 0", true)]
    [InlineData("populate r 0 4096", false)]
    public async Task Garbage_collection_waits_with_a_thread_that_touches_a_page_and_not_with_one_that_populates(string command, bool waits)
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {daemon.SocketPath}");
        await client.RunAsync($"create r c {Page}");
        await client.RunAsync("collect");
        daemon.Suspend();

        Task<string[]> touched = client.BeginAsync(command);
        Eventually.True(() => client.WaitsForPage, "a thread that waits for a page");
        Task<string[]> collected = client.BeginAsync("collect");
        if (waits)
            await Assert.ThrowsAsync<TimeoutException>(() => collected.WaitAsync(TimeSpan.FromSeconds(1)));
        else
            await collected.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.False(touched.IsCompleted);

        daemon.Continue();
        await touched.WaitAsync(TimeSpan.FromSeconds(30));
        await collected.WaitAsync(TimeSpan.FromSeconds(30));
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
