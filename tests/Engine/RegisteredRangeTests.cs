using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests;

/// <summary>Userfaultfds that come with ranges which their client had registered itself.</summary>
public sealed class RegisteredRangeTests : EngineTest
{
    [Fact]
    public void Faults_and_events_from_before_the_attach_are_answered_by_it()
    {
        FileSource image = RandomFile(8 * (long)Page, 1, out byte[] contents);
        ClientProcess client = StartClient();
        SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
        ulong at = client.Map("anon", 8 * Page).Address;
        client.Run($"api {number} 8");
        client.Run($"register {number} {at} {8 * Page} 1");
        PendingReply read = client.Begin($"read {at + Page}", 1);
        PendingReply discard = client.Begin($"madvise {at + (4 * Page)} {2 * Page} 4", 2);

        Session session = Attach(client, uffd, Range(at, 8, image)).Session!;

        Assert.Equal(contents[Page], (byte)read.AwaitValue());
        discard.AwaitValue();
        Assert.True(client.IsFilledWith(at + (4 * Page), 2 * Page, 0));
        Assert.Equal(ClientProcess.Hash(contents.AsSpan(0, 4 * (int)Page)), client.HashRange(at, 4 * Page));
        RegionInfo region = Assert.Single(Engine.RegionsAsync(session).Finish());
        Assert.Equal((at, 8 * Page, Page, UffdRegisterModes.Missing, RegionFlags.None), (region.Start, region.Length, region.PageBytes, region.Modes, region.Flags));
        Assert.Equal((1, 8 * (long)Page), (Alice.Usage.Regions, Alice.Usage.RegisteredBytes));
    }

    [Fact]
    public void Ranges_come_all_or_none_and_none_is_unregistered()
    {
        FileSource image = RandomFile(4 * (long)Page, 1, out byte[] contents);
        ClientProcess client = StartClient();
        SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
        ulong at = client.Map("anon", 4 * Page).Address;
        ulong unregistered = client.Map("memfd-private", 4 * Page).Address;
        client.Run($"api {number} 0");
        client.Run($"register {number} {at} {4 * Page} 1");
        PendingReply read = client.Begin($"read {at}", 1);

        EngineError error = Attach(client, uffd.Duplicate<SafeUffd>(), Range(at, 4, image), Range(unregistered, 4, image)).Error!;

        Assert.Equal((EngineErrorKind.Invalid, Errno.EINVAL), (error.Kind, error.Errno));
        Assert.Equal((0, 0, 0), (Alice.Usage.Sessions, Alice.Usage.Regions, Alice.Usage.RegisteredBytes));
        Assert.False(read.IsCompleted);
        Attach(client, uffd, Range(at, 4, image));
        Assert.Equal(contents[0], (byte)read.AwaitValue());
    }

    [Theory]
    [InlineData(1, 1, "is not aligned to its pages")]
    [InlineData(0, 5, "needs 20480 from offset 0 on")]
    [InlineData(0, 6, "is not mapped at")]
    public void Range_that_does_not_fit_is_refused(ulong shift, ulong pages, string text)
    {
        FileSource image = RandomFile((pages == 6 ? 6 : 4) * (long)Page, 1, out _);
        ClientProcess client = StartClient();
        SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
        ulong at = client.Map("anon", 6 * Page).Address;
        client.Run($"munmap {at + (5 * Page)} {Page}");
        client.Run($"api {number} 0");
        client.Run($"register {number} {at} {5 * Page} 1");
        Assert.Contains(text, Attach(client, uffd, Range(at + shift, pages, image)).Error!.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Range_that_another_session_of_the_process_serves_is_a_conflict()
    {
        FileSource image = RandomFile(4 * (long)Page, 1, out _);
        ServedClient served = Serve();
        ulong at = served.MapRegistered(4 * Page, image);
        SafeUffd uffd = served.Client.OpenUffd(UffdOpenFlags.None, out int number);
        served.Client.Run($"api {number} 0");
        EngineError error = Attach(served.Client, uffd, Range(at, 4, image)).Error!;
        Assert.Equal((EngineErrorKind.Conflict, served.Session.Id), (error.Kind, error.Holder!.SessionId));
    }

    [Fact]
    public void Limit_of_regions_is_kept_and_given_back()
    {
        Alice = new("alice", 1, new() { Regions = 1 });
        FileSource image = RandomFile(4 * (long)Page, 1, out _);
        ClientProcess client = StartClient();
        SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
        ulong at = client.Map("anon", 4 * Page).Address;
        client.Run($"api {number} 0");
        client.Run($"register {number} {at} {4 * Page} 1");
        EngineError error = Attach(client, uffd, Range(at, 2, image), Range(at + (2 * Page), 2, image)).Error!;
        Assert.Equal((EngineErrorKind.Limit, 0), (error.Kind, Alice.Usage.Regions));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, true)]
    public void Request_that_is_to_adopt_or_does_not_say_that_the_interface_is_known_is_a_defect(bool apiDone, bool adopt)
    {
        FileSource image = RandomFile((long)Page, 1, out _);
        using ClientProcess client = ClientProcess.Start();
        using SafeUffd uffd = client.OpenUffd();
        using SafePidFd pidFd = client.Handle.Duplicate<SafePidFd>();
        AttachRequest request = new()
        {
            Uffd = uffd,
            Pid = client.Pid,
            ProcessStartTime = StartTimeOf(client.Pid),
            PidFd = pidFd,
            Tenant = Alice,
            DefaultPolicy = Named,
            ApiDone = apiDone,
            Adopt = adopt,
            Registered = [Range(0, 1, image)],
        };
        Assert.IsType<ArgumentException>(Assert.Throws<AggregateException>(() => Engine.AttachAsync(request).Finish()).GetBaseException());
    }

    private static RegisteredRange Range(ulong start, ulong pages, PageSource source) =>
        new() { Start = start, Length = pages * Page, PageBytes = Page, Source = source, SourceOffset = 0 };

    private AttachResult Attach(ClientProcess client, SafeUffd uffd, params RegisteredRange[] ranges) => Engine.AttachAsync(new AttachRequest
    {
        Uffd = uffd,
        Pid = client.Pid,
        ProcessStartTime = StartTimeOf(client.Pid),
        PidFd = client.Handle.Duplicate<SafePidFd>(),
        Tenant = Alice,
        DefaultPolicy = Named,
        ApiDone = true,
        Registered = ranges,
    }).Finish();
}
