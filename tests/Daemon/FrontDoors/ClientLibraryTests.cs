using UffdManager.Client;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>The .NET client library against the real daemon, which is a process of its own.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class ClientLibraryTests
{
    // Seen twice in ten runs: the test host stands still in one of these tests. They pass whenever it does not.
    private const string Unsteady = "a client in the test's own process can make the test host hang; it needs a process of its own";

    private const int Page = 4096;

    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(30);

    [Fact(Skip = Unsteady)]
    public async Task Anonymous_region_reads_zeros_and_keeps_what_is_written()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemon.SocketPath);
        Assert.Equal(("everybody", "zero"), (client.Tenant, client.Policy));
        using ManagedRegion region = await ManagedRegion.CreateAsync(client, 64 * Page);

        region.Populate(0, 8 * Page);
        Assert.Equal(-1, region.Memory.Span[..(8 * Page)].IndexOfAnyExcept((byte)0));
        region.Memory.Span[5] = 99;
        ulong installed = await region.PrefetchAsync(0, 64 * Page);

        Assert.Equal(56ul * Page, installed);
        Assert.Equal(99, region.Slice(5, 1)[0]);
        StatusReplyMessage status = await client.StatusAsync();
        Assert.Equal((64ul * Page, 1ul, "active"), (status.RegisteredBytes, status.Regions, status.State));
    }

    [Theory(Skip = Unsteady)]
    [InlineData(true)]
    [InlineData(false)]
    public async Task File_is_mapped_lazily_and_comes_back_after_it_was_given_up(bool byDescriptor)
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        byte[] image = await WriteImageAsync(64 * Page);
        await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemon.SocketPath, new ClientOptions { Policy = "file" });
        using SafeFile file = FileIo.Open(ImagePath, OpenFlags.ReadOnly);
        using ManagedRegion region = byDescriptor
            ? await ManagedRegion.MapFileAsync(client, file, 2 * Page, 32 * Page)
            : await ManagedRegion.MapFileAsync(client, ImagePath, 2 * Page, 32 * Page);

        region.Populate(0, 32 * Page);
        Assert.True(region.GetSpan().SequenceEqual(image.AsSpan(2 * Page, 32 * Page)));
        region.GetSpan()[0] ^= 0xff;
        Assert.Equal(Errno.OK, NativePages.Advise(region.Address, Page, MemoryAdvice.DontNeed));

        region.Populate(0, Page);
        Assert.Equal(image[2 * Page], region.GetSpan()[0]);
    }

    [Fact(Skip = Unsteady)]
    public async Task Write_protected_range_is_served_when_it_is_written()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemon.SocketPath);
        var options = new RegisterOptions { Modes = RegisterModes.Missing | RegisterModes.WriteProtect };
        using ManagedRegion region = await ManagedRegion.CreateAsync(client, 4 * Page, options);
        await region.PrefetchAsync(0, 4 * Page);
        await client.WriteProtectAsync((ulong)region.Address, 4 * Page, protect: true);

        Assert.Equal(Errno.OK, NativePages.Advise(region.Address, 4 * Page, MemoryAdvice.PopulateWrite));

        Assert.Equal(4ul, (await client.StatusAsync()).Faults);
        await client.WriteProtectAsync((ulong)region.Address, 4 * Page, protect: false);
    }

    [Fact(Skip = Unsteady)]
    public async Task Refusal_is_an_exception_with_code_errno_and_holder()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using UffdManagerClient first = await UffdManagerClient.ConnectAsync(daemon.SocketPath);
        await using UffdManagerClient second = await UffdManagerClient.ConnectAsync(daemon.SocketPath);
        using ManagedRegion region = await ManagedRegion.CreateAsync(first, 4 * Page);

        UffdManagerException refusal = await Assert.ThrowsAsync<UffdManagerException>(
            () => second.RegisterAsync((ulong)region.Address, 4 * Page));

        Assert.Equal((ErrorCode.Conflict, Errno.EBUSY), (refusal.Code, refusal.Errno));
        Assert.Equal(new RangeHolder((long)first.SessionId, Environment.ProcessId, "everybody", (ulong)region.Address, 4 * Page), refusal.Holder);
        using ManagedRegion other = await ManagedRegion.CreateAsync(second, 4 * Page);
        other.Populate(0, 4 * Page);
    }

    [Fact(Skip = Unsteady)]
    public async Task Nobody_at_the_socket_is_an_exception()
    {
        UffdManagerException missing = await Assert.ThrowsAsync<UffdManagerException>(
            () => UffdManagerClient.ConnectAsync("/nonexistent/manager.sock"));
        Assert.Equal((ErrorCode.None, Errno.ENOENT), (missing.Code, missing.Errno));
    }

    [Fact(Skip = Unsteady)]
    public async Task Tenant_can_be_asked_for_its_numbers_without_a_session()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemon.SocketPath);
        using ManagedRegion region = await ManagedRegion.CreateAsync(client, 4 * Page);
        region.Populate(0, 4 * Page);

        StatusReplyMessage status = await UffdManagerClient.QueryTenantAsync(daemon.SocketPath);

        Assert.Equal(("everybody", "control", 0ul, 4ul * Page), (status.Tenant, status.State, status.SessionId, status.RegisteredBytes));
        Assert.Equal(4ul, status.Faults);
    }

    [Fact(Skip = Unsteady)]
    public async Task Own_userfaultfd_can_be_handed_over()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        var options = new ClientOptions { Userfaultfd = Userfaultfd.Open(), Label = "own" };
        await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemon.SocketPath, options);
        using ManagedRegion region = await ManagedRegion.CreateAsync(client, Page);
        region.Populate(0, Page);
        Assert.Equal(1ul, (await client.StatusAsync()).Faults);
    }

    [Fact(Skip = Unsteady)]
    public async Task Lost_connection_is_made_again_and_finds_the_session_as_it_was()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemon.SocketPath);
        TaskCompletionSource<ReconnectedEventArgs> reconnected = OnReconnected(client);
        using ManagedRegion region = await ManagedRegion.CreateAsync(client, 8 * Page);
        region.Populate(0, Page);
        ulong session = client.SessionId;

        client.LoseConnection();
        StatusReplyMessage status = await client.StatusAsync();

        Assert.Equal((session, 1ul, 8ul * Page), (status.SessionId, status.Faults, status.RegisteredBytes));
        ReconnectedEventArgs report = await reconnected.Task.WaitAsync(s_deadline);
        Assert.True(report.Resumed);
        Assert.Empty(report.Failed);
        region.Populate(Page, Page);
    }

    [Fact(Skip = Unsteady)]
    public async Task Session_goes_on_with_the_next_manager_after_the_first_was_killed()
    {
        await using DaemonSequence daemons = await DaemonSequence.StartAsync(Configuration);
        byte[] image = await WriteImageAsync(64 * Page);
        await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemons.SocketPath);
        TaskCompletionSource<ReconnectedEventArgs> reconnected = OnReconnected(client);
        using ManagedRegion file = await ManagedRegion.CreateAsync(
            client, 64 * Page, new RegisterOptions { Policy = "file", SourcePath = ImagePath, RemoveMeansSource = true });
        using ManagedRegion zero = await ManagedRegion.CreateAsync(client, 16 * Page);
        await client.UnregisterAsync((ulong)zero.Address + (8 * Page), 8 * Page);
        file.Populate(0, 8 * Page);
        zero.Populate(0, Page);
        zero.GetSpan()[0] = 42;

        daemons.Kill();

        // Waits in the kernel, in a system call, until there is a manager again.
        Task populated = Task.Factory.StartNew(() => file.Populate(0, 64 * Page), TaskCreationOptions.LongRunning);
        await daemons.StartNextAsync();
        ReconnectedEventArgs report = await reconnected.Task.WaitAsync(s_deadline);
        await populated.WaitAsync(s_deadline);

        Assert.False(report.Resumed);
        Assert.Empty(report.Failed);
        Assert.True(file.GetSpan().SequenceEqual(image));
        zero.Populate(0, 16 * Page);
        Assert.Equal(42, zero.GetSpan()[0]);
        Assert.Equal(-1, zero.GetSpan()[1..].IndexOfAnyExcept((byte)0));
        StatusReplyMessage status = await client.StatusAsync();
        Assert.Equal(("active", 72ul * Page), (status.State, status.RegisteredBytes));
    }

    [Fact(Skip = Unsteady)]
    public async Task Request_made_while_no_manager_is_there_is_carried_out_by_the_next_one()
    {
        await using DaemonSequence daemons = await DaemonSequence.StartAsync();
        await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemons.SocketPath);
        daemons.Kill();

        Task<ManagedRegion> asked = ManagedRegion.CreateAsync(client, 4 * Page);
        await daemons.StartNextAsync();
        using ManagedRegion region = await asked.WaitAsync(s_deadline);

        region.Populate(0, 4 * Page);
        Assert.Equal(4ul, (await client.StatusAsync()).Faults);
    }

    [Fact(Skip = Unsteady)]
    public async Task Client_that_is_not_to_reconnect_fails_when_the_manager_is_gone()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemon.SocketPath, new ClientOptions { Reconnect = false });
        daemon.Kill();

        UffdManagerException gone = await Assert.ThrowsAsync<UffdManagerException>(() => client.StatusAsync());

        Assert.Equal(ErrorCode.None, gone.Code);
    }

    [Fact(Skip = Unsteady)]
    public async Task Shared_object_is_mapped_and_filled_by_the_manager()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        byte[] image = await WriteImageAsync(16 * Page);
        await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemon.SocketPath);
        using MappedObject shared = await client.MapAsync(16 * Page, new MapOptions { Policy = "file", SourcePath = ImagePath });
        using ManagedRegion one = await ManagedRegion.MapObjectAsync(client, shared);
        using ManagedRegion two = await ManagedRegion.MapObjectAsync(client, shared);

        one.Populate(0, 16 * Page);
        two.Populate(0, 16 * Page);

        Assert.True(one.GetSpan().SequenceEqual(image));
        Assert.True(two.GetSpan().SequenceEqual(image));
    }

    [Fact(Skip = Unsteady)]
    public async Task Disposed_client_leaves_no_descriptor_behind()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using (UffdManagerClient warm = await UffdManagerClient.ConnectAsync(daemon.SocketPath))
            await warm.StatusAsync();
        DescriptorWatch watch = DescriptorWatch.Start();

        await using (UffdManagerClient client = await UffdManagerClient.ConnectAsync(daemon.SocketPath))
        {
            using ManagedRegion region = await ManagedRegion.CreateAsync(client, 4 * Page);
            region.Populate(0, 4 * Page);
        }

        watch.AssertUnchanged();
    }

    private static string ImagePath => Path.Combine(Path.GetTempPath(), $"uffd-client-image-{Environment.ProcessId}");

    private static string Configuration => $$"""
        {
          "policies": { "zero": {}, "file": { "source": { "kind": "client" }, "removeMeans": "source" } },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "zero", "policies": ["*"], "sourceDirectories": ["{{Path.GetTempPath()}}"] } }
        }
        """;

    private static async Task<byte[]> WriteImageAsync(int length)
    {
        byte[] image = new byte[length];
        new Random(length).NextBytes(image);
        await File.WriteAllBytesAsync(ImagePath, image);
        return image;
    }

    private static TaskCompletionSource<ReconnectedEventArgs> OnReconnected(UffdManagerClient client)
    {
        TaskCompletionSource<ReconnectedEventArgs> reconnected = new(TaskCreationOptions.RunContinuationsAsynchronously);
        client.Reconnected += (_, report) => reconnected.TrySetResult(report);
        return reconnected;
    }
}
