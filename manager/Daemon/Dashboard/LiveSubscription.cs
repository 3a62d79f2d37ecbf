using System.Threading.Channels;

namespace UffdManager.Daemon.Dashboard;

/// <summary>One open page's place in the <see cref="LiveFeed"/>. Dispose it to leave.</summary>
internal sealed class LiveSubscription : IDisposable
{
    // A page that is slow gets the newest frame when it is ready for one, not all of those that it has missed.
    private readonly Channel<LiveUpdate> _next = Channel.CreateBounded<LiveUpdate>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });

    private readonly LiveFeed _feed;

    internal LiveSubscription(LiveFeed feed) => _feed = feed;

    /// <summary>What is to be sent, until the daemon stops.</summary>
    public ChannelReader<LiveUpdate> Updates => _next.Reader;

    /// <inheritdoc/>
    public void Dispose() => _feed.Leave(this);

    internal void Offer(LiveUpdate update) => _next.Writer.TryWrite(update);

    internal void Complete() => _next.Writer.TryComplete();
}
