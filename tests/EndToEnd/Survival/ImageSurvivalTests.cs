using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>Clones of an image when the manager is killed under them.</summary>
[Collection(SurvivalCollection.Name)]
public sealed class ImageSurvivalTests : IDisposable
{
    private const int PageSize = 4096;
    private const ulong Pages = 512;

    private const string Configuration = """
        {
          "policies": { "zero": { }, "around": { "source": { "kind": "client" }, "faultAroundBytes": "64KiB" } },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "zero", "policies": ["*"], "images": ["*"] } }
        }
        """;

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [SkippableFact]
    public async Task Clones_of_a_layered_image_go_on_and_new_ones_share_it_with_them()
    {
        await using SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions { Configuration = Configuration });
        string below = Write("below", page => page % 3 == 0 ? (byte)0 : (byte)1);
        string diff = Write("diff", page => page % 5 == 0 ? (byte)2 : (byte)0);
        await AskAsync(manager, HttpMethod.Post, "v1/images", $$"""{ "name": "below", "file": "{{below}}" }""");
        await AskAsync(manager, HttpMethod.Post, "v1/images", $$"""{ "name": "clone", "file": "{{diff}}", "base": "below", "direct": true }""");
        using ClientProcess old = ClientProcess.Start();
        (WireConnection connection, ulong start) = Attach(old, manager);
        using (connection)
        {
            for (ulong page = 0; page < Pages / 2; page++)
                AssertPage(old, start, page);

            await manager.KillAndAwaitSuccessorAsync();
            for (ulong page = 0; page < Pages; page++)
                AssertPage(old, start, page);

            // By name it is the source that was taken over: not opened a second time.
            using ClientProcess young = ClientProcess.Start();
            (WireConnection other, ulong at) = Attach(young, manager);
            using (other)
            {
                for (ulong page = 0; page < Pages; page++)
                    AssertPage(young, at, page);
                JsonElement image = JsonDocument.Parse(await AskAsync(manager, HttpMethod.Get, "v1/images/clone")).RootElement;
                Assert.Equal("open", image.GetProperty("state").GetString());
                Assert.InRange(image.GetProperty("readBytes").GetInt64(), 1, (long)Pages * PageSize);
                Assert.InRange(image.GetProperty("hits").GetInt64(), 10, long.MaxValue);
            }
        }

        manager.AssertNoAccident();
    }

    [SkippableFact]
    public async Task Clone_whose_image_changed_while_there_was_no_manager_is_killed_when_it_needs_it_and_the_others_go_on()
    {
        await using SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions { Configuration = Configuration });
        string one = Write("one", _ => 1);
        string two = Write("two", _ => 2);
        await AskAsync(manager, HttpMethod.Post, "v1/images", $$"""{ "name": "clone", "file": "{{one}}" }""");
        await AskAsync(manager, HttpMethod.Post, "v1/images", $$"""{ "name": "other", "file": "{{two}}" }""");
        using ClientProcess victim = ClientProcess.Start();
        using ClientProcess bystander = ClientProcess.Start();
        (WireConnection first, ulong start) = Attach(victim, manager);
        (WireConnection second, ulong at) = Attach(bystander, manager, "other");
        using (first)
        using (second)
        {
            Assert.Equal(1, victim.ReadByte(start));
            int lives = manager.Lives;
            using (FileStream file = new(one, FileMode.Open))
                file.SetLength(PageSize);
            Assert.True(manager.Kill());
            await manager.AwaitLivesAsync(lives + 1);

            // What it has is its own; what it has not is not to be had any more.
            Assert.Equal(1, victim.ReadByte(start));
            _ = victim.Begin($"read {start + ((Pages - 1) * PageSize)}", thread: 1);
            victim.WaitForExit();
            Assert.True(bystander.IsFilledWith(at, Pages * PageSize, 2));
        }
    }

    private static async Task<string> AskAsync(SupervisedManager manager, HttpMethod method, string path, string? body = null)
    {
        using SocketsHttpHandler handler = new()
        {
            ConnectCallback = async (_, cancel) =>
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(Path.Combine(manager.Directory, "control.sock")), cancel);
                return new NetworkStream(socket, ownsSocket: true);
            },
        };
        using HttpClient http = new(handler) { BaseAddress = new Uri("http://localhost/") };
        using HttpRequestMessage request = new(method, path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
        using HttpResponseMessage response = await http.SendAsync(request);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        return text;
    }

    private static (WireConnection Connection, ulong Start) Attach(ClientProcess client, SupervisedManager manager, string image = "clone")
    {
        WireConnection connection = WireConnection.Attach(client, manager.SocketPath, "around").Connection;
        ulong start = client.Map("anon", Pages * PageSize).Address;
        connection.Ask<RegisteredMessage>(WireConnection.Register(start, Pages * PageSize, source: $"image:{image}"));
        return (connection, start);
    }

    private static void AssertPage(ClientProcess client, ulong start, ulong page) =>
        Assert.True(client.IsFilledWith(start + (page * PageSize), PageSize, page % 5 == 0 ? (byte)2 : page % 3 == 0 ? (byte)0 : (byte)1), $"page {page} is wrong");

    // Pages of zeros are holes.
    private string Write(string name, Func<ulong, byte> contents)
    {
        string path = _directory.Combine(name);
        using FileStream file = new(path, FileMode.CreateNew);
        file.SetLength((long)Pages * PageSize);
        for (ulong page = 0; page < Pages; page++)
        {
            if (contents(page) is var value and not 0)
            {
                file.Position = (long)page * PageSize;
                file.Write([.. Enumerable.Repeat(value, PageSize)]);
            }
        }

        return path;
    }
}
