using UffdManager.Engine;

namespace UffdManager.Daemon.Hosting;

/// <summary>Somebody who wants to know what happens in the engine. Called by one thread at a time; neither throws nor blocks.</summary>
public interface IEngineEventSink
{
    /// <summary>Tells one event.</summary>
    /// <param name="engineEvent">The event, in the engine's order.</param>
    void OnEvent(EngineEvent engineEvent);
}
