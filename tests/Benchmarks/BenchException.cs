namespace UffdManager.Benchmarks;

/// <summary>A measurement that could not be made; the message becomes the row's reason.</summary>
internal sealed class BenchException : Exception
{
    public BenchException(string message)
        : base(message)
    {
    }

    public BenchException(string message, Exception inner)
        : base(message, inner)
    {
    }

    public BenchException()
    {
    }
}
