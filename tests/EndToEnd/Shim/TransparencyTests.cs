using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>What a program can see of itself is the same under the shim.</summary>
public sealed class TransparencyTests(ShimFixture shim) : IClassFixture<ShimFixture>
{
    [SkippableTheory]
    [InlineData("descriptors", 2000)]
    [InlineData("children", 2000)]
    [InlineData("errno", 2000)]
    [InlineData("signals", 1000)]
    [InlineData("heap", 2000)]
    [InlineData("identity", 2000)]
    [InlineData("unshare", 2000)]
    [InlineData("forks", 20000)]
    [InlineData("raw-fork", 2000)]
    [InlineData("no-new-code", 2000)]
    [InlineData("drop-rights", 2000)]
    [InlineData("spawn", 2000)]
    [InlineData("exec", 12000)]
    [InlineData("thread-exec", 6000)]
    [InlineData("main-thread-ends", 60000)]
    public Task Program_sees_no_difference_when_it_looks_at(string what, int minimumFaults) =>
        shim.AssertAlikeAsync(ShimFixture.Probe, [what], minimumFaults);

    [SkippableTheory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    public Task Torture_finds_its_contents_when_eight_threads_change_their_mappings(int seed) =>
        shim.AssertAlikeAsync(ShimFixture.Torture, [$"{seed}", "100", "8"], 20000, ["--policy=around"]);

    [SkippableFact]
    public Task Torture_finds_its_contents_when_each_page_is_a_fault() =>
        shim.AssertAlikeAsync(ShimFixture.Torture, ["21", "60", "8"], 50000);

    [SkippableFact]
    public async Task Sessions_end_when_their_programs_have_ended()
    {
        await shim.AssertAlikeAsync(ShimFixture.Probe, ["forks"], 20000);
        await EventuallyAsync(async () => await shim.MetricAsync("uffd_manager_sessions") == 0);
    }

    private static async Task EventuallyAsync(Func<Task<bool>> condition)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(50));
        for (int i = 0; i < 200; i++)
        {
            if (await condition())
                return;
            await timer.WaitForNextTickAsync();
        }

        Assert.Fail("Sessions of ended programs are still there after 10 s");
    }
}
