using FsCheck;
using FsCheck.Fluent;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Units;

/// <summary>The interval map against an array with one entry per page.</summary>
public sealed class RegionMapTests
{
    private const ulong Page = 4096;
    private const int Pages = 64;

    private static readonly Policy s_policy = new() { Name = "p" };

    [Fact]
    public void Map_agrees_with_one_entry_per_page() =>
        Prop.ForAll(ArbMap.Default.ArbFor<int>(), seed => Agrees(new Random(seed))).Check(Config.QuickThrowOnFailure.WithMaxTest(1000));

    [Fact]
    public void Overlapping_regions_are_a_bug_of_the_caller()
    {
        RegionMap map = new();
        map.Add(Make(10, 20, 1));
        Assert.Throws<InvalidOperationException>(() => map.Add(Make(19, 21, 2)));
        Assert.Throws<InvalidOperationException>(() => map.Add(Make(5, 11, 2)));
        map.Add(Make(20, 21, 2));
        map.Add(Make(5, 10, 3));
        Assert.Equal(3, map.Count);
    }

    [Fact]
    public void Every_piece_holds_its_own_reference_to_the_source()
    {
        int released = 0;
        CountedSource source = new() { Released = () => released++ };
        RegionMap map = new();
        map.Add(new Region
        {
            Start = 0,
            End = 10 * Page,
            PageBytes = Page,
            Modes = UffdRegisterModes.Missing,
            Ioctls = UffdIoctls.None,
            Flags = RegionFlags.None,
            Policy = s_policy,
            Source = source.AddReference(),
            SourceOffset = 0,
            Generation = 1,
        });
        source.Dispose();
        map.Cut(4 * Page, 6 * Page);
        map.ChangeFlags(1 * Page, 8 * Page, RegionFlags.WriteProtected, RegionFlags.None);
        map.Cut(0, 4 * Page);
        Assert.Equal(0, released);
        map.Clear();
        Assert.Equal(1, released);
        Assert.Throws<ObjectDisposedException>(() => source.AddReference());
    }

    private static bool Agrees(Random random)
    {
        RegionMap map = new();
        (long Generation, long Offset, RegionFlags Flags)?[] model = new (long, long, RegionFlags)?[Pages];
        long generation = 0;
        for (int step = 0; step < 60; step++)
        {
            int start = random.Next(Pages);
            int end = random.Next(start + 1, Pages + 1);
            switch (random.Next(6))
            {
                case 0 or 1 when model[start..end].All(page => page is null):
                    generation++;
                    map.Add(Make(start, end, generation));
                    for (int page = start; page < end; page++)
                        model[page] = (generation, OffsetOf(generation) + ((page - start) * (long)Page), RegionFlags.None);
                    break;
                case 2 or 3:
                    map.Cut((ulong)start * Page, (ulong)end * Page);
                    Array.Clear(model, start, end - start);
                    break;
                case 4:
                    RegionFlags set = (RegionFlags)random.Next(8);
                    RegionFlags clear = (RegionFlags)random.Next(8);
                    map.ChangeFlags((ulong)start * Page, (ulong)end * Page, set, clear);
                    for (int page = start; page < end; page++)
                        model[page] = model[page] is (long g, long o, RegionFlags f) ? (g, o, (f | set) & ~clear) : null;
                    break;
                case 5 when map.Find((ulong)start * Page) is Region region:
                    int from = (int)(region.End / Page);
                    int to = from;
                    while (to < Pages && model[to] is null && to < from + 3)
                        to++;
                    map.Extend(region, (ulong)to * Page);
                    for (int page = from; page < to; page++)
                        model[page] = (region.Generation, region.OffsetOf((ulong)page * Page), region.Flags);
                    break;
                default:
                    break;
            }

            if (!Same(map, model))
                return false;
        }

        return true;
    }

    private static bool Same(RegionMap map, (long Generation, long Offset, RegionFlags Flags)?[] model)
    {
        bool same = map.Bytes == (ulong)model.Count(page => page is not null) * Page
            && map.All.Zip(map.All.Skip(1), (low, high) => low.End <= high.Start).All(ordered => ordered);
        for (int page = 0; page < Pages; page++)
        {
            ulong address = ((ulong)page * Page) + 17;
            Region? found = map.Find(address);
            same &= model[page] is (long generation, long offset, RegionFlags flags)
                ? found?.Generation == generation && found.Flags == flags && found.OffsetOf(address) == offset + 17
                : found is null;
            int next = Array.FindIndex(model, page, it => it is not null);
            Region? overlap = map.FindOverlap((ulong)page * Page, Pages * Page);
            same &= next < 0 ? overlap is null : overlap == map.Find((ulong)next * Page);
            Region? below = map.FindBelow((ulong)page * Page);
            same &= below == map.All.LastOrDefault(r => r.End <= (ulong)page * Page);
        }

        List<Region> collected = [];
        map.CollectOverlaps(10 * Page, 30 * Page, collected);
        return same && collected.SequenceEqual(map.All.Where(r => r.Start < 30 * Page && r.End > 10 * Page));
    }

    private static long OffsetOf(long generation) => generation * 1_000 * (long)Page;

    private static Region Make(int start, int end, long generation) => new()
    {
        Start = (ulong)start * Page,
        End = (ulong)end * Page,
        PageBytes = Page,
        Modes = UffdRegisterModes.Missing,
        Ioctls = UffdIoctls.None,
        Flags = RegionFlags.None,
        Policy = s_policy,
        Source = ZeroSource.Instance,
        SourceOffset = OffsetOf(generation),
        Generation = generation,
    };

    private sealed class CountedSource : PageSource
    {
        public override string Description => "counted";

        public override long Length => long.MaxValue;

        public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
        {
            page = default;
            return SourceAnswer.Zero;
        }

        public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page)
        {
            page = default;
            return Errno.EIO;
        }

        protected override void Close()
        {
        }
    }
}
