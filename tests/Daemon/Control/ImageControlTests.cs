using System.Net;
using System.Text.Json;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Images of a real daemon: added, served, warmed and removed.</summary>
public sealed class ImageControlTests : ImageControlTest
{
    private static readonly string s_withGolden = Configuration.Replace(
        "\"zero\": { }", "\"zero\": { }, \"golden\": { \"source\": { \"kind\": \"image\", \"image\": \"golden\" } }", StringComparison.Ordinal);

    [Fact]
    public async Task Image_is_added_served_to_clones_shown_and_removed()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        using ControlClient control = new(daemon);
        JsonElement added = await control.AskAsync("POST /v1/images", HttpStatusCode.Created, Addition("clean", Write("clean", 1)));
        Document.Check("Image", added);
        Assert.Equal(("clean", "open"), (added.GetProperty("name").GetString(), added.GetProperty("state").GetString()));
        await control.AskAsync("POST /v1/images", HttpStatusCode.Created, Addition("diff", WriteDiff(), "clean"));

        using ClientProcess one = ClientProcess.Start();
        using ClientProcess two = ClientProcess.Start();
        foreach (ClientProcess clone in new[] { one, two })
        {
            using WireConnection connection = WireConnection.Attach(clone, daemon.SocketPath).Connection;
            ulong clean = clone.Map("anon", Pages * PageSize).Address;
            connection.Ask<RegisteredMessage>(WireConnection.Register(clean, Pages * PageSize, source: "image:clean"));
            Assert.True(clone.IsFilledWith(clean, Pages * PageSize, 1));
            ulong diff = clone.Map("anon", Pages * PageSize).Address;
            connection.Ask<RegisteredMessage>(WireConnection.Register(diff, Pages * PageSize, source: "diff"));
            Assert.Equal((1, 2, 1), (clone.ReadByte(diff), clone.ReadByte(diff + PageSize), clone.ReadByte(diff + (2 * PageSize))));
        }

        JsonElement image = await control.AskAsync("GET /v1/images/clean");
        Document.Check("Image", image);
        Assert.Equal((long)Pages * PageSize, image.GetProperty("readBytes").GetInt64());
        JsonElement list = await control.AskAsync("GET /v1/images");
        Document.Check("ImageList", list);
        Assert.Equal(["clean", "diff"], list.GetProperty("images").EnumerateArray().Select(item => item.GetProperty("name").GetString()));
        JsonElement cache = list.GetProperty("cache");
        Assert.True(cache.GetProperty("hits").GetInt64() > 0);
        JsonElement tenant = Assert.Single(cache.GetProperty("tenants").EnumerateArray());
        Assert.Equal(("everybody", cache.GetProperty("bytes").GetInt64()), (tenant.GetProperty("tenant").GetString(), tenant.GetProperty("bytes").GetInt64()));
        string metrics = await daemon.GetAsync("metrics");
        Assert.Contains($"uffd_manager_image_cache_bytes{{tenant=\"everybody\"}} {tenant.GetProperty("bytes").GetInt64()}", metrics, StringComparison.Ordinal);
        Assert.Contains($"uffd_manager_image_cache_misses_total{{tenant=\"everybody\"}} {tenant.GetProperty("misses").GetInt64()}", metrics, StringComparison.Ordinal);

        JsonElement refused = await control.AskAsync("DELETE /v1/images/clean", HttpStatusCode.Conflict);
        Assert.Contains("diff is a diff upon clean", refused.GetProperty("detail").GetString(), StringComparison.Ordinal);
        foreach (string name in new[] { "diff", "clean" })
        {
            using HttpResponseMessage removed = await control.SendAsync($"DELETE /v1/images/{name}", body: null);
            Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
        }

        await control.AskAsync("GET /v1/images/clean", HttpStatusCode.NotFound);
        await daemon.WaitForLogAsync("Image clean was added for uid 0");
        await daemon.WaitForLogAsync("Image clean was removed for uid 0");
    }

    [Fact]
    public async Task Objects_that_clients_map_are_counted_by_image_and_tenant_and_bounded()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration.Replace("{\n", "{ \"images\": { \"mapBytes\": \"1MiB\" },\n", StringComparison.Ordinal));
        using ControlClient control = new(daemon);
        await control.AskAsync("POST /v1/images", HttpStatusCode.Created, Addition("clean", Write("clean", 1)));
        using ClientProcess clone = ClientProcess.Start();
        using WireConnection connection = WireConnection.Attach(clone, daemon.SocketPath).Connection;
        ulong bytes = Pages * PageSize;
        MappedMessage mapped = connection.Ask<MappedMessage>(new MapMessage(bytes, 0, MapFlags.None, "", "image:clean", ""));
        using SafeFile memfd = connection.Take<SafeFile>(0);
        ulong address = clone.Run($"mapfd {clone.Give(memfd)} 0 {bytes} 0 3");
        connection.Ask<RegisteredMessage>(WireConnection.Register(address, bytes, flags: RegisterFlags.FromMap) with
        {
            Modes = RegisterModes.Missing | RegisterModes.Minor,
            MapId = mapped.MapId,
        });
        Assert.True(clone.IsFilledWith(address, 10 * PageSize, 1));

        JsonElement image = await control.AskAsync("GET /v1/images/clean");
        Document.Check("Image", image);
        Assert.Equal(("everybody", 1, (long)bytes, 10L * PageSize), Share(Assert.Single(image.GetProperty("mapped").EnumerateArray())));
        JsonElement list = await control.AskAsync("GET /v1/images");
        Document.Check("ImageList", list);
        JsonElement all = list.GetProperty("mapped");
        Assert.Equal((1L << 20, (long)bytes, 10L * PageSize), (all.GetProperty("limitBytes").GetInt64(), all.GetProperty("sizeBytes").GetInt64(), all.GetProperty("memoryBytes").GetInt64()));
        Assert.Equal(("everybody", 1, (long)bytes, 10L * PageSize), Share(Assert.Single(all.GetProperty("tenants").EnumerateArray())));
        string metrics = await daemon.GetAsync("metrics");
        Assert.Contains($"uffd_manager_mapped_memory_bytes{{tenant=\"everybody\"}} {10 * PageSize}", metrics, StringComparison.Ordinal);
        Assert.Contains($"uffd_manager_mapped_size_bytes{{tenant=\"everybody\"}} {bytes}", metrics, StringComparison.Ordinal);
        Assert.Contains("uffd_manager_mapped_objects{tenant=\"everybody\"} 1", metrics, StringComparison.Ordinal);
        Assert.Contains("uffd_manager_mapped_limit_bytes 1048576", metrics, StringComparison.Ordinal);

        ErrorMessage refused = connection.Ask<ErrorMessage>(new MapMessage(1 << 20, 0, MapFlags.None, "", "", "more"));
        Assert.Equal(ErrorCode.Limit, refused.Code);
        Assert.Contains("raise images.mapBytes", refused.Text, StringComparison.Ordinal);
    }

    private static (string? Tenant, int Objects, long Size, long Memory) Share(JsonElement share) =>
        (share.GetProperty("tenant").GetString(), share.GetProperty("objects").GetInt32(), share.GetProperty("sizeBytes").GetInt64(), share.GetProperty("memoryBytes").GetInt64());

    [Fact]
    public async Task Image_that_a_policy_names_must_be_there_and_cannot_be_removed()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        using ControlClient control = new(daemon);
        await File.WriteAllTextAsync(daemon.ConfigurationPath, s_withGolden);
        JsonElement refused = await control.AskAsync("POST /v1/reload", HttpStatusCode.UnprocessableEntity);
        Assert.Contains("there is no image", refused.ToString(), StringComparison.Ordinal);
        await control.AskAsync("POST /v1/images", HttpStatusCode.Created, Addition("golden", Write("golden", 3)));
        await control.AskAsync("POST /v1/reload");
        using ClientProcess clone = ClientProcess.Start();
        using WireConnection connection = WireConnection.Attach(clone, daemon.SocketPath, "golden").Connection;
        ulong address = clone.Map("anon", Pages * PageSize).Address;
        connection.Ask<RegisteredMessage>(WireConnection.Register(address, Pages * PageSize));
        Assert.True(clone.IsFilledWith(address, Pages * PageSize, 3));
        JsonElement policy = await control.AskAsync("GET /v1/policies/golden");
        Assert.Equal(("image", "golden"), (policy.GetProperty("source").GetProperty("kind").GetString(), policy.GetProperty("source").GetProperty("image").GetString()));
        JsonElement kept = await control.AskAsync("DELETE /v1/images/golden", HttpStatusCode.Conflict);
        Assert.Contains("policy golden", kept.GetProperty("detail").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("clean")]
    [InlineData("image:clean")]
    public async Task Image_that_a_snapshot_is_served_from_cannot_be_removed(string image)
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        using ControlClient control = new(daemon);
        await control.AskAsync("POST /v1/images", HttpStatusCode.Created, Addition("clean", Write("clean", 1)));
        string socket = Path.Combine(daemon.Directory, "vms.sock");
        await control.AskAsync("POST /v1/snapshots", HttpStatusCode.Created, JsonSerializer.Serialize(new { name = "web", image, tenant = "everybody", socket }));
        JsonElement refused = await control.AskAsync("DELETE /v1/images/clean", HttpStatusCode.Conflict);
        Assert.Contains("snapshot web is served from image clean", refused.GetProperty("detail").GetString(), StringComparison.Ordinal);
        await control.AskAsync("DELETE /v1/snapshots/web");
        using HttpResponseMessage removed = await control.SendAsync("DELETE /v1/images/clean", body: null);
        Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
    }

    [Fact]
    public async Task Warming_tells_how_far_it_is_and_clones_then_read_nothing()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        using ControlClient control = new(daemon);
        await control.AskAsync("POST /v1/images", HttpStatusCode.Created, Addition("clean", Write("clean", 1)));
        JsonElement last = default;
        await foreach (JsonElement line in control.StreamAsync($"POST /v1/images/clean/warm?offset=0&length={Pages * PageSize}"))
        {
            Document.Check("ImageWarming", line);
            last = line;
        }

        Assert.Equal((true, "warm", (long)Pages * PageSize), (last.GetProperty("finished").GetBoolean(), last.GetProperty("result").GetString(), last.GetProperty("done").GetInt64()));
        using ClientProcess clone = ClientProcess.Start();
        using WireConnection connection = WireConnection.Attach(clone, daemon.SocketPath).Connection;
        ulong address = clone.Map("anon", Pages * PageSize).Address;
        connection.Ask<RegisteredMessage>(WireConnection.Register(address, Pages * PageSize, source: "image:clean"));
        Assert.True(clone.IsFilledWith(address, Pages * PageSize, 1));
        JsonElement image = await control.AskAsync("GET /v1/images/clean");
        Assert.Equal((long)Pages * PageSize, image.GetProperty("readBytes").GetInt64());
        JsonElement tenant = Assert.Single((await control.AskAsync("GET /v1/images")).GetProperty("cache").GetProperty("tenants").EnumerateArray());
        Assert.Equal("(none)", tenant.GetProperty("tenant").GetString());
        await control.AskAsync($"POST /v1/images/clean/warm?offset={Pages * PageSize}", HttpStatusCode.BadRequest);
        await control.AskAsync("POST /v1/images/nothing/warm", HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Image_whose_file_has_changed_is_shown_so_and_given_to_nobody()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        using ControlClient control = new(daemon);
        string file = Write("clean", 1);
        await control.AskAsync("POST /v1/images", HttpStatusCode.Created, Addition("clean", file));
        using (FileStream stream = new(file, FileMode.Open))
            stream.SetLength(PageSize);
        JsonElement image = await control.AskAsync("GET /v1/images/clean");
        Document.Check("Image", image);
        Assert.Equal("changed", image.GetProperty("state").GetString());
        using ClientProcess clone = ClientProcess.Start();
        using WireConnection connection = WireConnection.Attach(clone, daemon.SocketPath).Connection;
        ulong address = clone.Map("anon", Pages * PageSize).Address;
        ErrorMessage refused = connection.Ask<ErrorMessage>(WireConnection.Register(address, Pages * PageSize, source: "image:clean"));
        Assert.Equal(ErrorCode.Source, refused.Code);
        Assert.Contains("is not what it was", refused.Text, StringComparison.Ordinal);
    }
}
