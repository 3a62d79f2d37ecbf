using System.Security.Cryptography;
using UffdManager.EndToEnd.Tests.Survival;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>The .NET client library and a manager that leaves its sessions to the next one.</summary>
[Collection(SurvivalCollection.Name)]
public sealed class DotnetSurvivalTests : IDisposable
{
    private const int Page = 4096;

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Session_is_resumed_as_it_was_by_the_next_manager(bool handedOver)
    {
        byte[] image = new byte[32 * Page];
        new Random(1).NextBytes(image);
        string path = _directory.WriteFile("image", image);
        await using SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions { Configuration = Configuration });
        await using DotnetClient client = DotnetClient.Start();
        string session = (await client.RunAsync($"connect c {manager.SocketPath}"))[2];
        await client.RunAsync($"map-file file c {path} 0 {image.Length}");
        await client.RunAsync($"create zero c {8 * Page}");
        await client.RunAsync($"map-object object c {image.Length} policy=file path={path}");
        await client.RunAsync("view view c object");
        await client.RunAsync($"populate view 0 {Page}");
        await client.RunAsync($"populate zero 0 {Page}");
        await client.RunAsync("poke zero 0 7");

        // Nobody needs the file by name any more: its descriptor was kept.
        File.Delete(path);
        Task<string[]> populated = client.BeginAsync($"populate file 0 {image.Length}");
        _ = handedOver ? await manager.HandOverAsync() : await manager.KillAndAwaitSuccessorAsync();

        string[] report = await client.RunAsync("reconnected c");
        Assert.Equal(("True", "0"), (report[0], report[2]));
        Assert.Equal(["everybody", "active", session, "3"], (await client.RunAsync("status c"))[..4]);
        await populated.WaitAsync(Eventually.DefaultDeadline);
        Assert.Equal([Digest(image)], await client.RunAsync($"digest file 0 {image.Length}"));
        await client.RunAsync($"populate view 0 {image.Length}");
        Assert.Equal([Digest(image)], await client.RunAsync($"digest view 0 {image.Length}"));
        await client.RunAsync("populate zero 0 4096");
        Assert.Equal(["7"], await client.RunAsync("peek zero 0"));

        // What was known to the one is known to the other, and what is new is served as ever.
        await client.RunAsync("view again c object");
        await client.RunAsync($"create more c {4 * Page}");
        await client.RunAsync($"populate more 0 {4 * Page}");
        await client.RunAsync("dispose zero");
        await client.RunAsync("dispose more");
        manager.AssertNoAccident();
    }

    /// <summary>
    /// A managed thread waits for a page where it cannot be stopped, the collector waits for that thread, and everything managed, the thread that
    /// would connect again with it, waits for the collector. Only a manager that needs nothing from this process can end that.
    /// </summary>
    [SkippableFact]
    public async Task Process_that_stands_still_over_a_page_is_set_going_by_a_successor_that_needs_nothing_from_it()
    {
        await using SupervisedManager manager = await SupervisedManager.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {manager.SocketPath}");
        await client.RunAsync($"create r c {4 * Page}");
        await client.RunAsync("collect");
        Assert.True(manager.Kill());
        Task<string[]> touched = client.BeginAsync("peek r 0");
        Task<string[]> collected = client.BeginAsync("collect");

        await manager.AwaitLivesAsync(2);

        Assert.Equal(["0"], await touched.WaitAsync(Eventually.DefaultDeadline));
        await collected.WaitAsync(Eventually.DefaultDeadline);
        Assert.Equal("True", (await client.RunAsync("reconnected c"))[0]);
    }

    [SkippableFact]
    public async Task Requests_go_on_through_one_death_of_the_manager_after_the_other()
    {
        const int Deaths = 5;
        await using SupervisedManager manager = await SupervisedManager.StartAsync();
        await using DotnetClient client = DotnetClient.Start();
        await client.RunAsync($"connect c {manager.SocketPath}");
        int made = 0;
        for (int life = 1; life <= Deaths; life++)
        {
            // One of them is under way when the manager dies, wherever that is.
            List<Task> asked = [];
            for (int i = 0; i < 8; i++)
                asked.Add(client.BeginAsync($"create r{made++} c {4 * Page}"));
            Assert.True(manager.Kill());
            await manager.AwaitLivesAsync(life + 1);
            await Task.WhenAll(asked).WaitAsync(TimeSpan.FromSeconds(60));
        }

        for (int i = 0; i < made; i++)
            await client.RunAsync($"populate r{i} 0 {4 * Page}");
        string[] status = await client.RunAsync("status c");
        Assert.Equal($"{made * 4 * Page}", status[4]);
        manager.AssertNoAccident();
    }

    private string Configuration => $$"""
        {
          "policies": { "zero": {}, "file": { "source": { "kind": "client" } } },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "zero", "policies": ["*"], "sourceDirectories": ["{{_directory.Path}}"] } }
        }
        """;

    private static string Digest(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
}
