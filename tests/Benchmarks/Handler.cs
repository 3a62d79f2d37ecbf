namespace UffdManager.Benchmarks;

/// <summary>A running page-fault handler.</summary>
internal sealed class Handler : IAsyncDisposable
{
    private readonly string _directory;

    public Handler(HandlerRole role, string protocol, string socket, ChildProcess process, string directory)
    {
        Role = role;
        Protocol = protocol;
        Socket = socket;
        Process = process;
        _directory = directory;
    }

    public HandlerRole Role { get; }

    /// <summary>The load client's name for the protocol that this handler speaks.</summary>
    public string Protocol { get; }

    public string Socket { get; }

    public ChildProcess Process { get; }

    /// <summary>The manager's HTTP endpoint.</summary>
    public Uri? Metrics { get; init; }

    public async ValueTask DisposeAsync()
    {
        await Process.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }
}
