using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>These tests measure waits and put the machine under load: none runs beside another test.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class SurvivalCollection : ICollectionFixture<SurvivalSource>
{
    public const string Name = "survival";
}
