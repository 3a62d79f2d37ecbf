using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <summary>
/// Contents that nobody knows: of a range that was adopted from an earlier manager and that its client did not register again, or of a file that cannot be
/// opened. Every page is unavailable, so that the policy's verdict falls, and never zeros.
/// </summary>
/// <param name="description">For logs and status.</param>
public sealed class LostSource(string description) : PageSource
{
    /// <summary>That of adopted ranges.</summary>
    public static LostSource Instance { get; } = new("a range that its client did not register again after the manager had restarted");

    /// <inheritdoc/>
    public override string Description => description;

    /// <inheritdoc/>

    public override long Length => long.MaxValue;

    private protected override bool IsImmortal => true;

    /// <inheritdoc/>
    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        return SourceAnswer.Slow;
    }

    /// <inheritdoc/>
    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page)
    {
        page = default;
        return Errno.ENXIO;
    }

    /// <inheritdoc/>
    protected override void Close()
    {
    }
}
