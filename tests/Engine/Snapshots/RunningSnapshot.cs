using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>A snapshot under way.</summary>
public sealed record RunningSnapshot(string Path, SafeFile Output, SnapshotProgress Progress, Task<SnapshotReport> Task)
{
    /// <summary>Waits for its end, whatever that is.</summary>
    public SnapshotReport Report()
    {
        SnapshotReport report = Task.Finish();
        Output.Dispose();
        return report;
    }

    /// <summary>Waits for success; what the file holds.</summary>
    public byte[] Finish()
    {
        SnapshotReport report = Report();
        Assert.Null(report.Error);
        byte[] image = File.ReadAllBytes(Path);
        Assert.Equal(report.Regions.Sum(region => (long)region.Length), image.Length);
        return image;
    }
}
