using System.Security.Cryptography;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>Files below the prefix are mapped by the manager, page by page.</summary>
public sealed class LazyFileTests(ShimFixture shim) : IClassFixture<ShimFixture>
{
    private const int Pages = 2000;

    [SkippableFact]
    public async Task Mapped_file_behaves_like_the_file_when_it_is_lazy()
    {
        string file = CreateFile("probe");
        await shim.AssertAlikeAsync(ShimFixture.Probe, ["lazy", file], Pages, [$"--lazy={shim.Directory.Path}"]);
    }

    [SkippableFact]
    public async Task Python_reads_the_file_when_it_maps_it_lazily()
    {
        string file = CreateFile("python");
        string expected = Hash(file);
        ProgramResult result = await shim.AssertAlikeAsync(
            "/usr/bin/python3",
            [
                "-c",
                """
                import hashlib, mmap, sys
                with open(sys.argv[1], 'rb') as f:
                    m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
                print(hashlib.sha256(m).hexdigest())
                """,
                file,
            ],
            Pages,
            [$"--lazy={shim.Directory.Path}"]);
        Assert.Equal(expected, result.Output.Trim());
    }

    [SkippableFact]
    public async Task File_is_unchanged_when_a_private_mapping_is_written()
    {
        string file = CreateFile("private");
        string expected = Hash(file);
        ProgramResult result = await shim.AssertAlikeAsync(
            "/usr/bin/python3",
            [
                "-c",
                """
                import mmap, sys
                with open(sys.argv[1], 'r+b') as f:
                    m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
                for i in range(0, len(m), 4096): m[i] = 7
                print(sum(m[::4096]))
                """,
                file,
            ],
            Pages,
            [$"--lazy={shim.Directory.Path}"]);
        Assert.Equal($"{7 * (Pages + 1)}", result.Output.Trim());
        Assert.Equal(expected, Hash(file));
    }

    [SkippableFact]
    public async Task Sqlite_answers_the_same_when_it_maps_its_database_lazily()
    {
        string database = Path.Combine(shim.Directory.Path, "lazy.db");
        using (RunningProgram create = RunningProgram.Start(
            "sqlite3",
            [
                database,
                """
                create table t(a integer primary key, b text);
                with recursive c(x) as (select 1 union all select x+1 from c where x<60000) insert into t select x, hex(x*7919) from c;
                """,
            ]))
        {
            Assert.Equal(0, (await create.FinishAsync()).ExitCode);
        }

        await shim.AssertAlikeAsync(
            "sqlite3",
            [
                "-readonly",
                database,
                """
                pragma mmap_size=268435456;
                select count(*), sum(a), max(b), min(b) from t;
                select b from t where a in (1, 777, 59999);
                pragma integrity_check;
                """,
            ],
            100,
            [$"--lazy={shim.Directory.Path}"]);
    }

    /// <summary>Not a whole number of pages, so that the last one has an end within.</summary>
    private string CreateFile(string name)
    {
        byte[] contents = new byte[(Pages * 4096) + 123];
        new Random(4711).NextBytes(contents);
        return shim.Directory.WriteFile(name, contents);
    }

    private static string Hash(string file) => Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(file)));
}
