using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Harness;

/// <summary>
/// Does what no source may do: its answer keeps the fault loop waiting, which so stands still in the middle of a fault, behind what it has read and before what it installs.
/// </summary>
internal sealed class StandingSource(ulong length) : PageSource
{
    private readonly ManualResetEventSlim _stands = new();
    private readonly ManualResetEventSlim _goesOn = new();

    public override string Description => "standing";

    public override long Length => (long)length;

    /// <summary>What every byte of it is.</summary>
    public static byte Value => 42;

    /// <summary>Waits until the loop stands still.</summary>
    public void AwaitLoop() => Assert.True(_stands.Wait(Eventually.DefaultDeadline), "the fault loop does not come by");

    /// <summary>The loop goes on, and stands still no more.</summary>
    public void LetGo() => _goesOn.Set();

    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        _stands.Set();
        _goesOn.Wait(Eventually.DefaultDeadline);
        NativePages.AsSpan(scratch, length).Fill(Value);
        page = new SourcePages(scratch, length);
        return SourceAnswer.Ready;
    }

    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page)
    {
        page = default;
        return Errno.EIO;
    }

    protected override void Close()
    {
        _stands.Dispose();
        _goesOn.Dispose();
    }
}
