using UffdManager.Engine.State;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// The room that a tenant's logs of touches may take: as much as is left for all others. So whoever comes next always finds some. Any thread.
/// </summary>
/// <param name="all">Of all tenants.</param>
/// <param name="own">Of this one.</param>
internal sealed class TouchBudget(MemoryGauge all, MemoryGauge own)
{
    /// <summary>Bytes of all tenants together.</summary>
    public const long MaximumBytes = 64 * 1024 * 1024;

    public bool TryTake(int bytes)
    {
        if (own.Bytes + bytes > MaximumBytes - all.Bytes)
        {
            return false;
        }

        all.Add(bytes);
        own.Add(bytes);
        return true;
    }

    public void Return(int bytes)
    {
        all.Add(-bytes);
        own.Add(-bytes);
    }
}
