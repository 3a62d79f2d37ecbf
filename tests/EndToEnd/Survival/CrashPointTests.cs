using UffdManager.Engine.State;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>The manager dies once at each named step of its work, and its successor goes on from there.</summary>
[Collection(SurvivalCollection.Name)]
public sealed class CrashPointTests(SurvivalSource source)
{
    /// <summary>
    /// Every point there is, a new one without being named here; in the full proof also at its very first visit, and at one that the seed gives.
    /// </summary>
    public static TheoryData<string, int> Points
    {
        get
        {
            Random random = new(SurvivalSource.Setting("SEED", 1));
            TheoryData<string, int> points = [];
            foreach (CrashPoint point in Enum.GetValues<CrashPoint>())
            {
                string name = CrashPoints.NameOf(point);
                int visit = VisitOf(point);
                points.Add(name, visit);
                if (SurvivalSource.Setting("KILLS", 0) >= 100 && visit > 1)
                {
                    points.Add(name, 1);
                    points.Add(name, random.Next(2, 2 * visit));
                }
            }

            return points;
        }
    }

    [SkippableTheory]
    [MemberData(nameof(Points))]
    public async Task Clients_find_every_byte_right_when_the_manager_dies_at(string point, int visit)
    {
        await using SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions
        {
            Environment = CrashAt($"{point}:{visit}"),
            Wrapper = ["env", $"UFFD_MANAGER_CRASH_ONCE={Trace}"],
        });
        File.Delete(Trace);
        try
        {
            await using LoadClient first = Start(manager, 1, "--kinds", "fzps", "--fields", "8", "--threads", "2", "--fork-interval", "150");
            await using LoadClient second = Start(manager, 2, "--kinds", "fps", "--fields", "3", "--threads", "2", "--keeper");
            await first.AwaitAttachedAsync();
            await second.AwaitAttachedAsync();
            await ReachAsync(manager, point);

            await Task.WhenAll(first.AwaitProgressAsync(), second.AwaitProgressAsync());
            LoadResult result = await first.FinishAsync();
            await second.FinishAsync();

            // A child whose userfaultfd nobody else had yet is lost with the manager: it knows, or is killed, but never reads zeros.
            Assert.True(result.Orphans <= (point == CrashPoints.NameOf(CrashPoint.ForkRead) ? 1 : 0), $"{result.Orphans} forked children were lost");
            manager.AssertNoAccident();
            Assert.Equal(0, await manager.StopAsync());
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            throw new InvalidOperationException($"{e.Message}\n{manager}", e);
        }
        finally
        {
            File.Delete(Trace);
        }
    }

    private string Trace { get; } = Path.Combine(Path.GetTempPath(), $"uffd-crash-{Environment.ProcessId}");

    internal static Dictionary<string, string> CrashAt(string what) => new(StringComparer.Ordinal) { ["UFFD_MANAGER_CRASH_AT"] = what };

    // Deep in the work where a point is passed often, and not before both clients are there.
    private static int VisitOf(CrashPoint point) => point switch
    {
        CrashPoint.AttachRecorded or CrashPoint.AttachStored => 2,
        CrashPoint.RegisterRecorded or CrashPoint.RegisterDone => 17,
        CrashPoint.EventsRead or CrashPoint.EventApplied or CrashPoint.PageFilled => 500,
        CrashPoint.RemoveHalf or CrashPoint.CutHalf or CrashPoint.RemapPagesCopied or CrashPoint.RemapRegionsMoved => 20,
        CrashPoint.LoopTurn => 2000,
        CrashPoint.ImageClaimed or CrashPoint.ImageFilled => 30,
        _ => 1,
    };

    private LoadClient Start(SupervisedManager manager, int seed, params string[] options) =>
        LoadClient.Start(manager.SocketPath, source.Path, seed, options);

    /// <summary>Waits until the manager has died at the point and its successor serves.</summary>
    private async Task ReachAsync(SupervisedManager manager, string point)
    {
        switch (Enum.GetValues<CrashPoint>().First(value => CrashPoints.NameOf(value) == point))
        {
            // Only a successor comes there.
            case CrashPoint.RestoreHalf or CrashPoint.RestoreDone or CrashPoint.WakeHalf:
                Assert.True(manager.Kill());
                break;
            case CrashPoint.EndBegun or CrashPoint.EndUnstored:
                await using (LoadClient third = Start(manager, 3, "--seconds", "1"))
                    Assert.Equal(0, await third.AwaitEndAsync());
                break;
        }

        await manager.AwaitAsync(() => File.Exists(Trace), $"somebody to come to {point}");
        await manager.AwaitLivesAsync(2);
    }
}
