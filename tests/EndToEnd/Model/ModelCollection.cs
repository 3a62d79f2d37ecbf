using Xunit;

namespace UffdManager.EndToEnd.Tests.Model;

/// <summary>These tests put the machine under load: none runs beside another test.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ModelCollection
{
    public const string Name = "model";
}
