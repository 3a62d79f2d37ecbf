namespace UffdManager.Daemon.Dashboard;

/// <summary>What is sent to every page at one moment.</summary>
/// <param name="Event">The event.</param>
/// <param name="History">The latency history, for pages that have not got one; null of an event that is no frame. Written when first asked for.</param>
internal sealed record LiveUpdate(ReadOnlyMemory<byte> Event, Lazy<ReadOnlyMemory<byte>>? History)
{
    /// <summary>The last one of a daemon that stops.</summary>
    public static readonly LiveUpdate Stopping = new(LiveEvent.Stopping, History: null);

    public static LiveUpdate Of(LiveSample sample) => new(LiveEvent.Frame(sample.Frame), new Lazy<ReadOnlyMemory<byte>>(() => LiveEvent.Latency(sample.Latency)));

    public static LiveUpdate Of(LiveTrouble trouble) => new(LiveEvent.Trouble(trouble), History: null);
}
