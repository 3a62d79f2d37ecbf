using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>VMs whose memory is an image of a base and a diff, named and not a file.</summary>
[Collection(SnapshotCollection.Name)]
public sealed class LayeredImageTests(SnapshotImages images)
{
    private const int Block = 64 * 1024;

    [SkippableFact]
    public async Task Clones_of_a_base_and_a_diff_find_every_byte_right()
    {
        using TempDirectory directory = new();
        string socket = directory.Combine("vms.sock");
        string control = directory.Combine("control.sock");
        (string below, string diff) = Split(directory);
        JsonNode configuration = JsonNode.Parse(SnapshotConfiguration.For("memory", socket))!;
        configuration["images"] = new JsonObject { ["directory"] = directory.Combine("images") };
        configuration["tenants"]!["vms"]!["images"] = new JsonArray("memory");
        configuration["tenants"]!["vms"]!["sourceDirectories"] = new JsonArray();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(
            configuration.ToJsonString(), new Dictionary<string, string> { ["UFFD_MANAGER__control__socket"] = control });
        await daemon.WaitForLogAsync("vms.sock");
        await AddAsync(control, new { name = "below", file = below });
        await AddAsync(control, new { name = "memory", file = diff, @base = "below" });
        Emulator[] clones = [.. Enumerable.Range(0, 4).Select(i => Emulator.Start(i % 2 == 0 ? "run" : "load", socket, images.Small, i % 2 == 0 ? [] : ["--balloon", "--seconds", "1"]))];
        foreach (Emulator clone in clones)
        {
            await clone.EndsWithAsync(Emulator.Right);
            await clone.DisposeAsync();
        }
    }

    // Every second block of the base is something else, which the diff has right; where that is zeros, they are written and hide the base. The second half is a hole in both.
    private (string Below, string Diff) Split(TempDirectory directory)
    {
        byte[] contents = File.ReadAllBytes(images.Small);
        (string below, string diff) = (directory.Combine("below.mem"), directory.Combine("diff.mem"));
        using FileStream belowFile = new(below, FileMode.CreateNew);
        using FileStream diffFile = new(diff, FileMode.CreateNew);
        byte[] wrong = [.. Enumerable.Repeat((byte)0xee, Block)];
        for (int at = 0; at < SnapshotImages.Length; at += Block)
        {
            bool isOfDiff = at / Block % 2 == 1;
            belowFile.Position = diffFile.Position = at;
            belowFile.Write(isOfDiff ? wrong : contents.AsSpan(at, Block));
            if (isOfDiff)
                diffFile.Write(contents, at, Block);
        }

        belowFile.SetLength(contents.Length);
        diffFile.SetLength(contents.Length);
        return (below, diff);
    }

    private static async Task AddAsync(string control, object image)
    {
        using SocketsHttpHandler handler = new()
        {
            ConnectCallback = async (_, stop) =>
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(control), stop);
                return new NetworkStream(socket, ownsSocket: true);
            },
        };
        using HttpClient client = new(handler);
        using HttpResponseMessage answer = await client.PostAsJsonAsync("http://localhost/v1/images", image);
        Assert.True(answer.StatusCode == HttpStatusCode.Created, await answer.Content.ReadAsStringAsync());
    }
}
