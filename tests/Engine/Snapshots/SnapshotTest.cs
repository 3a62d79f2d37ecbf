using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.State;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Takes snapshots into files.</summary>
public abstract class SnapshotTest : RestoreTest
{
    private int _files;

    /// <summary>As a virtual machine monitor hands it over: made and initialised by the client.</summary>
    protected ServedClient ServeStock(UffdFeatures features = UffdFeatures.EventRemove)
    {
        Require.That((Engine.KernelFeatures & features) == features, $"this kernel's userfaultfd has not all of {features}");
        ClientProcess client = StartClient();
        SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
        client.Run($"api {number} {(ulong)features}");
        AttachResult result = Attach(client, uffd, apiDone: true);
        Assert.Null(result.Error);
        return new ServedClient(Engine, client, result.Session!, number);
    }

    /// <summary>Begins a snapshot into a new file.</summary>
    protected RunningSnapshot Begin(ServedClient it, PageSource? baseImage = null, long bufferBytes = 64 << 20, string? folder = null, TimeSpan? stallLimit = null, CancellationToken cancel = default)
    {
        string path = Path.Combine(folder ?? Temp.Path, $"snapshot-{_files++}");
        SafeFile output = FileIo.Open(path, OpenFlags.ReadWrite | OpenFlags.Create | OpenFlags.Exclusive);
        SnapshotProgress progress = new();
        return new RunningSnapshot(path, output, progress, FaultEngine.SnapshotAsync(
            it.Session, new SnapshotRequest { Output = output, Base = baseImage, BufferBytes = bufferBytes, StallLimit = stallLimit ?? TimeSpan.FromMinutes(1) }, progress, cancel));
    }

    /// <summary>Takes a snapshot, which must succeed; what the file holds.</summary>
    protected byte[] Take(ServedClient it, PageSource? baseImage = null) => Begin(it, baseImage).Finish();
}
