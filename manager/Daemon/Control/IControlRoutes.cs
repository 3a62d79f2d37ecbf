namespace UffdManager.Daemon.Control;

/// <summary>A group of resources that belong together.</summary>
internal interface IControlRoutes
{
    IEnumerable<ControlRoute> Routes { get; }
}
