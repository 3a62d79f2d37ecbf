using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <summary>Memory that starts as zeros, like fresh anonymous memory.</summary>
public sealed class ZeroSource : PageSource
{
    private ZeroSource()
    {
    }

    /// <summary>The one instance; disposing of it does nothing.</summary>
    public static ZeroSource Instance { get; } = new();

    /// <inheritdoc/>
    public override string Description => "zero";

    /// <inheritdoc/>
    public override long Length => long.MaxValue;

    /// <inheritdoc/>
    public override bool IsZero => true;

    private protected override bool IsImmortal => true;

    /// <inheritdoc/>
    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        return SourceAnswer.Zero;
    }

    /// <inheritdoc/>
    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page)
    {
        NativePages.Clear(buffer, (nuint)length);
        page = new SourcePages(buffer, length);
        return Errno.OK;
    }

    /// <inheritdoc/>
    protected override void Close()
    {
    }

}
