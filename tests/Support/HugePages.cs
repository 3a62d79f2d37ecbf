using System.Diagnostics;
using System.Globalization;

namespace UffdManager.TestSupport;

/// <summary>Holds the machine's pool of 2 MiB pages at a size for one test and puts back what was there.</summary>
public sealed class HugePages : IDisposable
{
    private const string Setting = "/proc/sys/vm/nr_hugepages";

    private readonly int _before;
    private readonly MachineLock _machineWide;

    private HugePages(int before, MachineLock machineWide)
    {
        _before = before;
        _machineWide = machineWide;
    }

    /// <summary>Bytes of one page.</summary>
    public const ulong PageSize = 2 * 1024 * 1024;

    /// <summary>Pages in the pool that nobody uses or has reserved.</summary>
    public static int Free => Read("HugePages_Free:") - Read("HugePages_Rsvd:");

    /// <summary>
    /// Makes at least <paramref name="free"/> pages available; skips the test (or fails, see <see cref="Require"/>) where that is impossible.
    /// </summary>
    public static HugePages AtLeast(int free) => Hold(free, () => Free < free, static () => { });

    /// <summary>The same, and no more than these, whatever the machine has.</summary>
    public static HugePages Exactly(int free) => Hold(free, () => Free != free, AwaitRest);

    private static HugePages Hold(int free, Func<bool> isWrong, Action prepare)
    {
        Require.That(Read("Hugepagesize:") == 2048, "needs huge pages of 2 MiB");
        MachineLock machineWide = MachineLock.Take("hugepages");
        int before = Read("HugePages_Total:");
        HugePages pool = new(before, machineWide);
        try
        {
            prepare();
            if (isWrong())
            {
                Require.Root();
                Set(before + free - Free);
                Require.That(!isWrong(), $"the kernel could not make the pool {free} huge pages");
            }

            return pool;
        }
        catch
        {
            pool.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Read("HugePages_Total:") != _before)
            Set(_before);
        _machineWide.Dispose();
    }

    // Pages of a process that has been killed come back some time after that, and would be more than there are to be.
    private static void AwaitRest()
    {
        int free = Free;
        Stopwatch rest = Stopwatch.StartNew();
        Eventually.True(
            () =>
            {
                if (Free != free)
                {
                    free = Free;
                    rest.Restart();
                }

                return rest.ElapsedMilliseconds >= 100;
            },
            "the pool of huge pages to be at rest");
    }

    private static void Set(int pages) => File.WriteAllText(Setting, pages.ToString(CultureInfo.InvariantCulture));

    private static int Read(string name)
    {
        string? line = File.ReadLines("/proc/meminfo").FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal));
        return line is null ? 0 : int.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }
}
