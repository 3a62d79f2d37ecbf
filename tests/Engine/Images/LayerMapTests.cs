using UffdManager.Engine.Images;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>Which layer has which page.</summary>
public sealed class LayerMapTests : ImageTest
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Newest_layer_that_has_a_page_wins_whatever_the_holes_are(int seed)
    {
        const int Pages = 300;
        Random random = new(seed);
        byte[] expected = new byte[Pages];
        List<ImageLayer> layers = [];
        try
        {
            for (int i = 0; i < 5; i++)
            {
                Dictionary<long, byte> written = [];
                while (written.Count < 60)
                {
                    int start = random.Next(Pages);
                    for (int page = start; page < Math.Min(Pages, start + random.Next(1, 12)); page++)
                    {
                        written[page] = (byte)random.Next(0, 256);
                        expected[page] = (byte)(i + 1);
                    }
                }

                layers.Add(Open(WriteSparse(Pages * PageBytes, written)));
            }

            LayerMap map = LayerMap.Read(layers, PageBytes);
            for (int page = 0; page < Pages; page++)
            {
                long at = (long)page * PageBytes;
                int index = map.FirstAfter(at);
                int layer = index < map.Count && map[index].Start <= at ? map[index].Layer + 1 : 0;
                Assert.Equal(expected[page], layer);
                Assert.Equal(layer == 0, map.IsZero(at, at + PageBytes));
                Assert.Equal(layer != 0, map.IsData(at, at + PageBytes));
            }

            Assert.Equal(expected.Count(layer => layer != 0) * (long)PageBytes, map.DataBytes);
        }
        finally
        {
            layers.ForEach(layer => layer.Dispose());
        }
    }

    [Fact]
    public void Page_of_zeros_that_a_diff_has_hides_what_is_below()
    {
        using ScriptedLayer below = Open(WriteSparse(4 * PageBytes, new Dictionary<long, byte> { [0] = 7, [1] = 7 }));
        using ScriptedLayer diff = Open(WriteSparse(4 * PageBytes, new Dictionary<long, byte> { [1] = 0 }));
        LayerMap map = LayerMap.Read([below, diff], PageBytes);
        Assert.Equal([new LayerRun(0, PageBytes, 0), new LayerRun(PageBytes, 2 * PageBytes, 1)], Enumerable.Range(0, map.Count).Select(i => map[i]));
    }

    [Fact]
    public void Layer_has_whole_pages_of_the_size_that_the_image_says()
    {
        using ScriptedLayer below = Open(WriteSparse(1024 * PageBytes, new Dictionary<long, byte> { [0] = 7 }));
        using ScriptedLayer diff = Open(WriteSparse(1024 * PageBytes, new Dictionary<long, byte> { [700] = 1 }));
        LayerMap map = LayerMap.Read([below, diff], 2 << 20);
        Assert.Equal([new LayerRun(0, 2 << 20, 0), new LayerRun(2 << 20, 4 << 20, 1)], Enumerable.Range(0, map.Count).Select(i => map[i]));
    }

    [Fact]
    public void Diff_that_is_shorter_than_its_base_is_refused()
    {
        string below = WriteSparse(8 * PageBytes, new Dictionary<long, byte> { [0] = 7 });
        string diff = WriteSparse(7 * PageBytes, new Dictionary<long, byte> { [1] = 7 });
        ArgumentException refused = Assert.Throws<ArgumentException>(() => new LayeredSource([Open(below), Open(diff)], PageBytes, CacheOf(8), "image"));
        Assert.Contains("truncated", refused.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Diff_on_a_file_system_with_holes_larger_than_pages_is_refused()
    {
        Require.Mounting();
        string mount = Temp.Combine("huge");
        Directory.CreateDirectory(mount);
        using System.Diagnostics.Process mounting = System.Diagnostics.Process.Start("mount", ["-t", "hugetlbfs", "none", mount]);
        mounting.WaitForExit();
        Require.That(mounting.ExitCode == 0, "hugetlbfs cannot be mounted here");
        try
        {
            string below = WriteSparse(2 << 20, new Dictionary<long, byte> { [0] = 7 });
            string diff = Path.Combine(mount, "diff");
            using (SafeFile file = FileIo.Open(diff, OpenFlags.ReadWrite | OpenFlags.Create))
                Memfd.Truncate(file, 2 << 20);
            ArgumentException refused = Assert.Throws<ArgumentException>(() => new LayeredSource([Open(below), Open(diff)], PageBytes, CacheOf(8), "image"));
            Assert.Contains("holes in units of 2097152 bytes", refused.Message, StringComparison.Ordinal);
        }
        finally
        {
            using System.Diagnostics.Process unmounting = System.Diagnostics.Process.Start("umount", [mount]);
            unmounting.WaitForExit();
        }
    }

    [Fact]
    public void Pieces_are_counted_over_all_layers()
    {
        using ScriptedLayer below = Open(WriteSparse(64 * PageBytes, new Dictionary<long, byte> { [0] = 7, [10] = 7, [20] = 7 }));
        using ScriptedLayer diff = Open(WriteSparse(64 * PageBytes, new Dictionary<long, byte> { [0] = 7, [30] = 7, [40] = 7 }));
        Assert.Equal(5, LayerMap.Read([below, diff], PageBytes, maximumRuns: 6).Count);
        ArgumentException refused = Assert.Throws<ArgumentException>(() => LayerMap.Read([below, diff], PageBytes, maximumRuns: 5));
        Assert.Contains("pieces of data between their holes", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Empty_file_and_directory_are_no_layers()
    {
        Assert.Throws<ArgumentException>(() => Open(WriteSparse(0, new Dictionary<long, byte>())));
        Assert.Throws<ArgumentException>(() => Open(Temp.Path));
    }
}
