using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>A daemon that begins while an image of its configuration cannot be used.</summary>
public sealed class ImageStartTests
{
    private const ulong Length = 4 * 4096;

    private const string Configuration = """
        {
          "images": { "directory": "/nonexistent" },
          "policies": {
            "zero": { "source": { "kind": "zero" } },
            "lost": { "source": { "kind": "image", "image": "base" }, "onUnavailable": "kill" }
          },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "lost", "policies": ["*"] } }
        }
        """;

    [Fact]
    public async Task Daemon_serves_everybody_but_those_who_need_the_image()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(Configuration);
        await daemon.WaitForLogAsync("Starting without contents: policy lost takes its contents from image base, which cannot be used: there is no image");
        using ClientProcess lucky = ClientProcess.Start();
        (WireConnection zero, _) = WireConnection.Attach(lucky, daemon.SocketPath, policy: "zero");
        ulong address = lucky.Map("anon", Length).Address;
        zero.Ask<RegisteredMessage>(WireConnection.Register(address, Length));
        Assert.True(lucky.IsFilledWith(address, Length, 0));

        // Never zeros: the verdict of the policy, at once.
        using ClientProcess unlucky = ClientProcess.Start();
        (WireConnection lost, _) = WireConnection.Attach(unlucky, daemon.SocketPath);
        ulong nothing = unlucky.Map("anon", Length).Address;
        lost.Ask<RegisteredMessage>(WireConnection.Register(nothing, Length));
        unlucky.Begin($"read {nothing}", 1);
        unlucky.WaitForExit();
        Assert.True(lucky.IsFilledWith(address, Length, 0));
        zero.Dispose();
        lost.Dispose();
    }
}
