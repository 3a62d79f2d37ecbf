using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>These tests count the descriptors of their process, and some measure time: they run one at a time and with no others.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class SupervisionCollection
{
    public const string Name = "supervision";
}
