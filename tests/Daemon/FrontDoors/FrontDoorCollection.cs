using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>These tests count the descriptors of their process: they run one at a time and with no others.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class FrontDoorCollection
{
    public const string Name = "front doors";
}
