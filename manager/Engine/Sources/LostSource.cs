using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <summary>
/// What a range contains whose contents nobody knows any more: it was adopted from an earlier manager, and its client did not register it again.
/// Every page of it is unavailable, so that the policy's verdict falls, and never zeros.
/// </summary>
internal sealed class LostSource : PageSource
{
    private LostSource()
    {
    }

    public static LostSource Instance { get; } = new();

    public override string Description => "a range that its client did not register again after the manager had restarted";

    public override long Length => long.MaxValue;

    private protected override bool IsImmortal => true;

    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        return SourceAnswer.Slow;
    }

    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page)
    {
        page = default;
        return Errno.ENXIO;
    }

    protected override void Close()
    {
    }
}
