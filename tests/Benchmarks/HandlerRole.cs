namespace UffdManager.Benchmarks;

/// <summary>The two columns of the table.</summary>
internal enum HandlerRole
{
    Reference,
    Manager,
}
