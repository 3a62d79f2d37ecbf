using UffdManager.Engine.Policies;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;

namespace UffdManager.Engine.Tests.State;

/// <summary>
/// One manager after another. The first one is left behind where it stands: nothing of what it does at its end reaches the store, the sessions or the
/// clients, as if it had been killed between two turns of its loops.
/// </summary>
public abstract class RestoreTest : EngineTest, IRestoreOwner
{
    private readonly MemoryStore _store = new();
    private readonly List<(PageSource Source, string Tag)> _sources = [];
    private readonly List<(SharedImage Image, string Tag)> _images = [];

    protected RestoreTest()
    {
        Options = Options with { DescriptorStore = _store };
        Own(_store);
    }

    protected MemoryStore Store => _store;

    protected IReadOnlyList<(PageSource Source, string Tag)> RestoredSources => _sources;

    protected IReadOnlyList<(SharedImage Image, string Tag)> RestoredImages => _images;

    public Tenant TenantOf(string name, int weight, TenantLimits recorded) => name == "bob" ? Bob : Alice;

    public void SourceRestored(PageSource source, string ownerTag) => _sources.Add((source, ownerTag));

    public void ImageRestored(SharedImage image, string ownerTag) => _images.Add((image, ownerTag));

    protected static bool IsState(SafeFd descriptor) => FileIo.ReadDescriptorLink(descriptor).StartsWith("/memfd:uffd-manager:session", StringComparison.Ordinal);

    protected static bool IsPidFd(SafeFd descriptor) => FileIo.ReadDescriptorLink(descriptor).Contains("pidfd", StringComparison.Ordinal);

    protected static string NameOf(Session session) => $"session-{session.Id}";

    /// <summary>The manager is gone, and nobody has taken its place.</summary>
    protected void EndManager()
    {
        Engine.HandOverAsync().Finish();
        DropEngine();
    }

    /// <summary>A manager takes over what is in the store.</summary>
    protected RestoreReport StartNext() => Engine.RestoreAsync(Store.HandOn(), this).Finish();

    protected RestoreReport Restart()
    {
        EndManager();
        return StartNext();
    }

    /// <summary>The same client under the manager of now.</summary>
    protected ServedClient Again(ServedClient before, RestoreReport report) =>
        before with { Engine = Engine, Session = report.Sessions.Single(restored => restored.Session.Id == before.Session.Id).Session };
}
