using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>Unmodified programs give the answers that they give without us.</summary>
public sealed class RealProgramTests(ShimFixture shim) : IClassFixture<ShimFixture>
{
    [SkippableFact]
    public Task Python_computes_the_same_when_it_forks_with_big_arrays() => shim.AssertAlikeAsync(
        "/usr/bin/python3",
        [
            "-c",
            """
            import multiprocessing, os, random
            random.seed(5)
            big = bytearray(48 << 20)
            for i in range(0, len(big), 4096): big[i] = (i >> 12) & 255
            lists = [[random.random() for _ in range(2000)] for _ in range(100)]
            print(sum(big), sum(map(sum, lists)))
            def work(n):
                own = bytearray(8 << 20)
                for i in range(0, len(own), 4096): own[i] = n
                big[n], before = 255, big[n]
                result = sum(own) + sum(big[:4096]) + sum(big[::4096]) + int(sum(lists[n]))
                big[n] = before
                return result
            with multiprocessing.get_context('fork').Pool(3) as pool:
                print(pool.map(work, range(12)))
            pid = os.fork()
            if pid == 0:
                os._exit(sum(big) % 251)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), sum(big) % 251)
            """,
        ],
        20000);

    [SkippableFact]
    public async Task Gcc_writes_the_same_object_when_it_compiles()
    {
        string source = shim.Directory.WriteFile("big.c", System.Text.Encoding.ASCII.GetBytes(BigSource()));
        string made = Path.Combine(shim.Directory.Path, "big.o");
        byte[] native = [];
        await shim.AssertAlikeAsync("gcc", ["-O2", "-c", "-o", made, source], 500, between: () =>
        {
            native = File.ReadAllBytes(made);
            File.Delete(made);
        });
        Assert.NotEmpty(native);
        Assert.Equal(native, File.ReadAllBytes(made));
    }

    [SkippableFact]
    public Task Sqlite_answers_the_same_when_its_database_is_in_memory() => shim.AssertAlikeAsync(
        "sqlite3",
        [
            ":memory:",
            """
            create table t(a,b);
            with recursive c(x) as (select 1 union all select x+1 from c where x<150000) insert into t select x, hex(x*7) from c;
            create index i on t(b);
            select count(*), sum(a), max(b) from t;
            delete from t where a%3=0;
            vacuum;
            select count(*), sum(a) from t;
            pragma integrity_check;
            """,
        ],
        500);

    [SkippableFact]
    public Task Node_computes_the_same_when_its_heap_grows() => shim.AssertAlikeAsync(
        "node",
        [
            "-e",
            """
            const all = []; for (let i = 0; i < 200000; i++) all.push({ i, s: 'x' + i });
            let h = 0; for (const o of all) h = (h * 31 + o.s.length + o.i) | 0;
            const b = Buffer.alloc(32 << 20); for (let i = 0; i < b.length; i += 4096) b[i] = i >> 12;
            console.log(h, b.reduce((x, y) => x + y, 0), JSON.parse(JSON.stringify(all)).length);
            """,
        ],
        5000);

    [SkippableFact]
    public Task Stress_ng_finds_no_wrong_bit_when_it_verifies() => shim.AssertAlikeAsync(
        "stress-ng", ["--vm", "2", "--vm-bytes", "64M", "--vm-ops", "4000", "--verify", "--quiet", "--seed", "7", "--timeout", "60"], 5000);

    private static string BigSource()
    {
        IEnumerable<string> functions = Enumerable.Range(0, 400).Select(i =>
            $$"""
            static int f{{i}}(int *a, int n)
            {
                int s = {{i}};
                for (int k = 0; k < n; k++)
                    for (int j = 0; j < k; j++)
                        s += a[k] * {{i + 1}} ^ a[j] % ({{(i % 7) + 1}} + j);
                return s;
            }
            """);
        string calls = string.Join(" + ", Enumerable.Range(0, 400).Select(i => $"f{i}(a, n)"));
        return $"{string.Join('\n', functions)}\nint all(int *a, int n)\n{{\n    return {calls};\n}}\n";
    }
}
