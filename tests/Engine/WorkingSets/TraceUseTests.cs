using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>Which run gets which trace.</summary>
public sealed class TraceUseTests : WorkingSetTest
{
    [Fact]
    public void Working_set_of_one_tenant_is_not_replayed_for_another()
    {
        FileSource file = RandomFile((long)Image, 4, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        ServedClient it = Serve(tenant: Bob, policy: Replay);
        ulong at = it.MapRegistered(Image, file);
        foreach (ulong page in Wanted)
            AssertPage(it, at + (page * Page), contents, page);
        Assert.Equal(Wanted.Length, it.Status().Faults);
    }

    [Fact]
    public void Trace_of_an_earlier_engine_is_replayed()
    {
        FileSource file = RandomFile((long)Image, 5, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        DropEngine();
        Assert.InRange(RunPrefetched(file, contents, Replay, Wanted), 0, Wanted.Length * 5 / 100);
        Assert.Empty(Traces.Rejections);
    }

    [Theory]
    [InlineData("cut")]
    [InlineData("changed")]
    [InlineData("noise")]
    [InlineData("empty")]
    public void Trace_that_is_damaged_is_told_and_the_run_served_on_demand(string damage)
    {
        FileSource file = RandomFile((long)Image, 6, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        DropEngine();
        Traces.Spoil(bytes => damage switch
        {
            "cut" => bytes[..(bytes.Length / 2)],
            "changed" => [.. bytes[..40], (byte)(bytes[40] ^ 1), .. bytes[41..]],
            "noise" => [.. bytes.Select((_, i) => (byte)(i * 7))],
            _ => [],
        });
        Assert.Equal(Wanted.Length, Run(file, contents, Replay, Wanted));
        Assert.Single(Traces.Rejections);

        // Learnt anew, in place of what was damaged.
        DropEngine();
        Assert.InRange(RunPrefetched(file, contents, Replay, Wanted), 0, Wanted.Length * 5 / 100);
    }

    [Fact]
    public void Trace_of_a_file_that_has_changed_since_is_not_used()
    {
        FileSource file = RandomFile((long)Image, 7, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        DropEngine();
        contents[5]++;
        string path = Temp.WriteFile("other", contents);
        byte[] fresh = File.ReadAllBytes(path);
        File.WriteAllBytes(file.Description, fresh);
        File.SetLastWriteTimeUtc(file.Description, DateTime.UnixEpoch.AddYears(40));
        FileSource changed = Own(new FileSource(FileIo.Open(file.Description, OpenFlags.ReadOnly), file.Description));
        Assert.Equal(Wanted.Length, Run(changed, fresh, Replay, Wanted));
        Assert.Contains("changed", Assert.Single(Traces.Rejections), StringComparison.Ordinal);
    }

    [Fact]
    public void File_without_a_name_is_nothing_to_learn_about()
    {
        FileSource named = RandomFile((long)Page, 20, out byte[] contents);
        Assert.NotNull(named.Identity);
        string path = Temp.WriteFile("gone", contents);
        SafeFile file = FileIo.Open(path, OpenFlags.ReadOnly);
        File.Delete(path);
        Assert.Null(Own(new FileSource(file, "gone")).Identity);
    }

    [Fact]
    public void Run_is_observed_for_as_long_as_the_policy_says()
    {
        FileSource file = RandomFile((long)Image, 16, out byte[] contents);
        Policy brief = Replay with { Prefetch = Replay.Prefetch with { RecordTime = TimeSpan.FromMilliseconds(100) } };
        ServedClient it = Serve(policy: brief);
        ulong at = it.MapRegistered(Image, file);
        AssertPage(it, at, contents, 0);
        Eventually.True(() => Traces.Saves == 1, "the end of the observation");
        AssertPage(it, at + Page, contents, 1);
        EndRun(it);
        Assert.Equal(1, Traces.Saves);
    }
}
