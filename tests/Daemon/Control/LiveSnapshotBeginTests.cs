using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging.Abstractions;
using UffdManager.Control;
using UffdManager.Daemon.LiveSnapshots;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Daemon.Tests.Images;
using UffdManager.Engine;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Snapshots of running clients whose files cannot be had at once.</summary>
public sealed class LiveSnapshotBeginTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly FaultEngine _engine = new(new EngineOptions { FaultLoops = 1 });
    private readonly ClientProcess _client = ClientProcess.Start();
    private readonly HangingCatalog _catalog = new();

    public LiveSnapshotBeginTests() => _engine.Start();

    public void Dispose()
    {
        _catalog.Gate.Set();
        _client.Dispose();
        _engine.Dispose();
        _catalog.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Who_gives_up_waiting_for_a_file_system_leaves_nothing_behind()
    {
        Session session = await AttachAsync();
        string file = _directory.WriteFile("base", new byte[4096]);
        TenantCatalog tenants = new(Layers.LoadValid(Layers.Minimal, $$"""{ "tenants": { "everybody": { "sourceDirectories": ["{{_directory.Path}}"] } } }"""));
        using Meter meter = new(nameof(LiveSnapshotBeginTests));
        LiveSnapshotService service = new(_catalog, tenants, new LiveSnapshotMetrics(meter, new TenantLabels()), TimeProvider.System, NullLogger<LiveSnapshotService>.Instance);
        using CancellationTokenSource gone = new();
        SnapshotRequestDto request = new() { Out = _directory.Combine("image"), Base = file };
        Task<LiveSnapshot?> beginning = service.BeginAsync(session, request, 0, 0, "a test", gone.Token);
        Assert.True(await _catalog.Entered.WaitAsync(Eventually.DefaultDeadline));
        Assert.False(_catalog.IsOnPool);
        Assert.Null(await service.BeginAsync(session, request, 0, 0, "another", CancellationToken.None));
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => beginning);
        _catalog.Gate.Set();
        Eventually.True(() => service.Find(session.Id) is null, "the end of the snapshot");
        Assert.Equal([file], Directory.GetFiles(_directory.Path));
    }

    private async Task<Session> AttachAsync()
    {
        Assert.True(ProcessInfo.TryReadStartTime(_client.Pid, out ulong startTime));
        AttachResult result = await _engine.AttachAsync(new AttachRequest
        {
            Uffd = _client.OpenUffd(UffdOpenFlags.None, out _),
            Pid = _client.Pid,
            ProcessStartTime = startTime,
            PidFd = _client.Handle.Duplicate<SafePidFd>(),
            Tenant = new Tenant("everybody", 1, new TenantLimits()),
            DefaultPolicy = new Policy { Name = "zero" },
            Label = "test",
        });
        return result.Session!;
    }

    // Files that are opened when the file system answers.
    private sealed class HangingCatalog : ISourceCatalog, IDisposable
    {
        private readonly SourceCatalog _files = new(Registry.Empty());

        public ManualResetEventSlim Gate { get; } = new();

        public SemaphoreSlim Entered { get; } = new(0);

        public bool IsOnPool { get; private set; }

        public SourceDecision OpenPath(TenantGrant tenant, string path) => throw new NotSupportedException();

        public SourceDecision OpenNamed(TenantGrant tenant, string path)
        {
            IsOnPool = Thread.CurrentThread.IsThreadPoolThread;
            Entered.Release();
            Gate.Wait();
            return _files.OpenNamed(tenant, path);
        }

        public SourceDecision AdoptDescriptor(TenantGrant tenant, SafeFile descriptor) => throw new NotSupportedException();

        public void Dispose()
        {
            Gate.Dispose();
            Entered.Dispose();
        }
    }
}
