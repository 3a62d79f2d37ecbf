using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Daemon.WorkingSets;
using UffdManager.Engine.Sources;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.WorkingSets;

/// <summary>Where traces are kept, and what may lie in their place.</summary>
public sealed class TraceFilesTests : IDisposable
{
    private static readonly byte[] s_trace = [1, 2, 3, 4, 5];

    private readonly TempDirectory _temp = new();
    private readonly RecordingLogger _log = new();

    private string Images => _temp.Combine("images");

    private string State => _temp.Combine("state", "traces");

    private string ImagePath => Path.Combine(Images, "deep", "mem.bin");

    private string Beside => ImagePath + ".everybody.4k.trace";

    public TraceFilesTests()
    {
        Directory.CreateDirectory(Path.Combine(Images, "deep"));
        Directory.CreateDirectory(_temp.Combine("state"));
        File.WriteAllBytes(ImagePath, new byte[8192]);
    }

    public void Dispose() => _temp.Dispose();

    [Fact]
    public void Trace_lies_beside_its_image_for_its_owner_alone()
    {
        TraceFiles files = Files();
        files.Save(Key(), ImagePath, s_trace);
        Assert.Equal(s_trace, File.ReadAllBytes(Beside));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Beside));
        Assert.Equal(s_trace, files.TryLoad(Key(), ImagePath));
        Assert.False(Directory.Exists(State));
        Assert.Equal(["mem.bin", "mem.bin.everybody.4k.trace"], Names(Path.GetDirectoryName(ImagePath)!));
    }

    [Fact]
    public void Trace_of_an_image_that_is_not_below_a_source_directory_lies_in_the_state_directory()
    {
        string elsewhere = _temp.WriteFile("elsewhere.bin", new byte[4096]);
        TraceFiles files = Files();
        files.Save(Key(elsewhere), elsewhere, s_trace);
        Assert.Equal(s_trace, files.TryLoad(Key(elsewhere), elsewhere));
        Assert.Single(Names(State));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(State));
        Assert.Equal(["elsewhere.bin", "images", "state"], Names(_temp.Path));
    }

    [Fact]
    public void Trace_lies_in_the_state_directory_when_the_configuration_wants_nothing_beside_images()
    {
        TraceFiles files = Files(beside: false);
        files.Save(Key(), ImagePath, s_trace);
        Assert.False(File.Exists(Beside));
        Assert.Equal(s_trace, files.TryLoad(Key(), ImagePath));
    }

    [Fact]
    public void Trace_of_the_image_of_a_policy_lies_beside_it()
    {
        string image = _temp.WriteFile("policy.bin", new byte[4096]);
        TraceFiles files = Files(policy: $$"""{ "policies": { "p": { "source": { "kind": "file", "path": "{{image}}" } } } }""");
        files.Save(Key(image), image, s_trace);
        Assert.True(File.Exists(image + ".everybody.4k.trace"));
    }

    [Fact]
    public void Nothing_is_written_beside_a_file_that_has_taken_the_place_of_the_image()
    {
        TraceKey key = Key();
        File.Move(ImagePath, ImagePath + ".old");
        File.WriteAllBytes(ImagePath, new byte[8192]);
        TraceFiles files = Files();
        files.Save(key, ImagePath, s_trace);
        Assert.False(File.Exists(Beside));
        Assert.Equal(s_trace, files.TryLoad(key, ImagePath));
    }

    [Fact]
    public void Directory_that_was_exchanged_for_a_link_is_not_followed()
    {
        TraceKey key = Key();
        string real = Path.Combine(Images, "deep");
        Directory.Move(real, _temp.Combine("moved"));
        Directory.CreateSymbolicLink(real, _temp.Combine("moved"));
        Files().Save(key, ImagePath, s_trace);
        Assert.Equal(["mem.bin"], Names(_temp.Combine("moved")));
    }

    [Fact]
    public void Link_in_the_place_of_a_trace_is_replaced_and_what_it_leads_to_left_alone()
    {
        string victim = _temp.WriteFile("victim", [9, 9]);
        File.CreateSymbolicLink(Beside, victim);
        File.CreateSymbolicLink(Beside + ".new", victim);
        TraceFiles files = Files();
        Assert.Null(files.TryLoad(Key(), ImagePath));
        files.Save(Key(), ImagePath, s_trace);
        Assert.Equal([9, 9], File.ReadAllBytes(victim));
        Assert.Null(File.ResolveLinkTarget(Beside, returnFinalTarget: false));
        Assert.Equal(s_trace, File.ReadAllBytes(Beside));
    }

    [Fact]
    public void Directory_in_the_place_of_a_trace_sends_it_to_the_state_directory()
    {
        Directory.CreateDirectory(Path.Combine(Beside, "full"));
        TraceFiles files = Files();
        files.Save(Key(), ImagePath, s_trace);
        Assert.Equal(s_trace, files.TryLoad(Key(), ImagePath));
        Assert.Single(Names(State));
    }

    [Fact]
    public void Huge_file_in_the_place_of_a_trace_is_not_read_as_a_whole()
    {
        using (FileStream file = File.Create(Beside))
            file.SetLength(1L << 40);
        Assert.InRange(Files().TryLoad(Key(), ImagePath)!.Length, 1, (4 << 20) + 1);
    }

    [Fact]
    public void Trace_that_can_be_kept_nowhere_is_told_and_ignored()
    {
        File.WriteAllBytes(_temp.Combine("state", "traces"), []);
        TraceFiles files = Files(beside: false);
        files.Save(Key(), ImagePath, s_trace);
        Assert.Null(files.TryLoad(Key(), ImagePath));
        Assert.Contains(_log.Lines, line => line.Contains(ImagePath, StringComparison.Ordinal));
    }

    [SkippableFact]
    public void Trace_that_the_disk_has_no_room_for_leaves_the_one_before_in_place()
    {
        Require.Root();
        using SmallDisk disk = new(State, 64 << 10);
        TraceFiles files = Files(beside: false);
        files.Save(Key(), ImagePath, s_trace);
        disk.Fill();
        files.Save(Key(), ImagePath, new byte[8192]);
        Assert.Equal(s_trace, files.TryLoad(Key(), ImagePath));
        Assert.Equal(2, Names(State).Length);
        Assert.Contains(_log.Lines, line => line.Contains("ENOSPC", StringComparison.Ordinal) && line.Contains(ImagePath, StringComparison.Ordinal));
        File.Delete(Path.Combine(State, "filler"));
        files.Save(Key(), ImagePath, new byte[8192]);
        Assert.Equal(new byte[8192], files.TryLoad(Key(), ImagePath));
    }

    [Fact]
    public void Trace_that_is_rejected_is_told_with_file_tenant_and_reason()
    {
        Files().Rejected(Key(), ImagePath, "it is damaged");
        Assert.Equal([$"The trace of {ImagePath} for tenant everybody is not used, it is damaged, learning anew"], _log.Lines);
    }

    [Fact]
    public void Oldest_traces_of_a_tenant_go_when_it_has_too_many_and_nobody_elses()
    {
        Directory.CreateDirectory(State);
        Make("old-and-few", 1, hours: 1);
        Make("greedy", (TraceFiles.MostFiles / 4) + 3, hours: 1000);
        Files().ForgetOldest();
        Assert.Equal((TraceFiles.MostFiles / 4) + 1, Names(State).Length);
        Assert.True(File.Exists(Path.Combine(State, "old-and-few.0.trace")));
        Assert.False(File.Exists(Path.Combine(State, "greedy.2.trace")));
        Assert.True(File.Exists(Path.Combine(State, "greedy.3.trace")));
    }

    [Fact]
    public void Oldest_traces_of_who_has_most_go_when_all_have_too_many()
    {
        Directory.CreateDirectory(State);
        string[] most = ["a", "b", "c"];
        foreach (string tenant in most)
            Make(tenant, TraceFiles.MostFiles / 4, hours: 100);
        Make("d", (TraceFiles.MostFiles / 4) - 10, hours: 1);
        Make("e", 40, hours: 1);
        Files().ForgetOldest();
        Assert.Equal(TraceFiles.MostFiles, Names(State).Length);
        Assert.Equal((TraceFiles.MostFiles / 4) - 10, Directory.GetFiles(State, "d.*").Length);
        Assert.Equal(40, Directory.GetFiles(State, "e.*").Length);
    }

    [Fact]
    public void Large_traces_of_a_tenant_go_when_they_take_more_than_its_part_of_the_disk()
    {
        Directory.CreateDirectory(State);
        Make("greedy", 20, hours: 1, bytes: 4 << 20);
        Make("small", 20, hours: 1);
        Files().ForgetOldest();
        Assert.Equal(16, Directory.GetFiles(State, "greedy.*").Length);
        Assert.Equal(20, Directory.GetFiles(State, "small.*").Length);
    }

    [Fact]
    public void Trace_that_is_forgotten_is_gone_from_both_places()
    {
        TraceFiles files = Files();
        Assert.False(files.Forget(Key(), ImagePath));
        files.Save(Key(), ImagePath, s_trace);
        Assert.True(files.Forget(Key(), ImagePath));
        Files(beside: false).Save(Key(), ImagePath, s_trace);
        Assert.True(files.Forget(Key(), ImagePath));
        Assert.Null(files.TryLoad(Key(), ImagePath));
        Assert.Equal(["mem.bin"], Names(Path.GetDirectoryName(ImagePath)!));
        Assert.Empty(Names(State));
    }

    [Fact]
    public void Traces_of_tenants_and_page_sizes_are_apart()
    {
        TraceFiles files = Files(beside: false);
        TraceKey key = Key();
        files.Save(key, ImagePath, [1]);
        files.Save(key with { Tenant = "other" }, ImagePath, [2]);
        files.Save(key with { PageBytes = 2 << 20 }, ImagePath, [3]);
        Assert.Equal([1], files.TryLoad(key, ImagePath));
        Assert.Equal([2], files.TryLoad(key with { Tenant = "other" }, ImagePath));
        Assert.Equal([3], files.TryLoad(key with { PageBytes = 2 << 20 }, ImagePath));
    }

    private void Make(string tenant, int count, int hours, long bytes = 0)
    {
        for (int i = 0; i < count; i++)
        {
            string path = Path.Combine(State, $"{tenant}.{i}.trace");
            using (FileStream file = File.Create(path))
                file.SetLength(bytes);
            File.SetLastWriteTimeUtc(path, DateTime.UnixEpoch.AddHours(hours + i));
        }
    }

    private static string[] Names(string directory) => [.. Directory.GetFileSystemEntries(directory).Select(entry => Path.GetFileName(entry)!).Order(StringComparer.Ordinal)];

    private TraceKey Key(string? path = null)
    {
        using SafeFile file = FileIo.Open(path ?? ImagePath, OpenFlags.ReadOnly);
        FileStatus status = FileIo.Stat(file);
        return new TraceKey("everybody", new SourceIdentity(status.Device, status.Inode, status.Size, status.ModifiedNanoseconds), 4096);
    }

    private TraceFiles Files(bool beside = true, string policy = "{}")
    {
        LoadedConfiguration loaded = Layers.Load(
            Layers.Minimal,
            $$"""{ "tenants": { "everybody": { "sourceDirectories": ["{{Images}}"] } } }""",
            policy);
        return new TraceFiles(
            new ConfigurationInUse(loaded, TimeProvider.System), new WorkingSetOptions { Directory = State, BesideImages = beside }, _log, TimeProvider.System);
    }

    private sealed class RecordingLogger : ILogger<TraceFiles>
    {
        public List<string> Lines { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Add(formatter(state, exception));
    }
}
