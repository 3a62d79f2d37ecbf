using System.Diagnostics;

namespace UffdManager.Daemon.Telemetry;

/// <summary>The source of the daemon's traces. Nothing is made while nobody listens, that is, without OTLP export.</summary>
internal static class ManagerActivities
{
    public const string SourceName = "UffdManager";

    public static readonly ActivitySource Source = new(SourceName, ProcessMetrics.Version);

    /// <summary>Starts an activity that is not the ambient one of the caller: what it describes happened elsewhere, and earlier.</summary>
    /// <returns>Null when nobody listens.</returns>
    public static Activity? StartDetached(string name, DateTimeOffset start, ActivityTagsCollection tags)
    {
        var ambient = Activity.Current;
        Activity.Current = null;
        var activity = Source.StartActivity(name, ActivityKind.Internal, parentContext: default, tags, links: null, start);
        Activity.Current = ambient;
        return activity;
    }
}
