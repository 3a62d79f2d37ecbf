using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>These tests have deadlines and many threads: none runs beside another test.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class SnapshotCollection : ICollectionFixture<SnapshotImages>
{
    public const string Name = "snapshots";
}
