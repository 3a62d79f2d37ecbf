using System.Text.Json;
using UffdManager.Engine.Images;
using UffdManager.Engine.State;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>What a successor is told of an image has room in the state memory, whatever its files are called.</summary>
public sealed class LayerDocumentTests : ImageTest
{
    [Theory]
    [InlineData('x')]
    [InlineData('я')]
    [InlineData('+')]
    [InlineData('\u0001')]
    public void Document_of_sixteen_files_with_long_names_fits(char letter)
    {
        string path = WriteSparse(PageBytes, new Dictionary<long, byte> { [0] = 1 });
        ImageLayer[] layers = [.. Enumerable.Range(0, 16).Select(i => new ImageLayer(FileIo.Open(path, OpenFlags.ReadOnly), "/srv/" + new string(letter, 4000) + $"/layer{i}", isDirect: false))];
        LayeredSource source = Own(new LayeredSource(layers, PageBytes, CacheOf(1), "image " + new string('i', 64)) { OwnerTag = $"1 {new string('i', 64)} image:{new string('f', 32)}" });
        SourceDocument document = source.Describe() with { Id = long.MaxValue, Device = ulong.MaxValue, Inode = ulong.MaxValue };
        document = document with
        {
            Layers = document.Layers! with { PageBytes = 2 << 20, Files = [.. document.Layers.Files.Select(file => file with { Device = ulong.MaxValue, Inode = ulong.MaxValue, Bytes = long.MaxValue, ModifiedNanoseconds = long.MinValue })] },
        };
        Assert.InRange(JsonSerializer.SerializeToUtf8Bytes(document, StateJson.Default.SourceDocument).Length, 1, StateDocuments.MaximumBytes);
        Assert.EndsWith("/layer15", document.Layers.Files[15].Description, StringComparison.Ordinal);
    }

    [Fact]
    public void Image_is_the_same_under_the_names_that_a_successor_has_of_its_files()
    {
        string below = WriteSparse(PageBytes, new Dictionary<long, byte> { [0] = 1 });
        string diff = WriteSparse(PageBytes, new Dictionary<long, byte> { [0] = 2 });
        using LayeredSource source = Make(below, "/srv/" + new string('a', 5000), diff, "/srv/" + new string('b', 5000));
        IReadOnlyList<LayerDocument> files = source.Describe().Layers!.Files;
        using LayeredSource next = Make(below, files[0].Description, diff, files[1].Description);
        Assert.Equal(source.Identity, next.Identity);

        // By which traces beside it are found.
        Assert.Equal("/srv/" + new string('b', 5000), source.Location);
        Assert.Equal(diff, next.Location);
    }

    [Theory]
    [InlineData("/srv/a", 20, "/srv/a")]
    [InlineData("/srv/images/one", 12, "...mages/one")]
    public void Names_keep_their_end(string text, int bytes, string expected)
    {
        string kept = LogText.Tail(text, bytes);
        Assert.Equal(expected, kept);
        Assert.Equal(kept, LogText.Tail(kept, bytes));
        string pair = LogText.Tail(string.Concat(Enumerable.Repeat("\U0001F5BF", 9)), 30);
        Assert.True(pair.Length == 3 + 4 && char.IsHighSurrogate(pair[3]));
    }

    private static LayeredSource Make(string below, string belowName, string diff, string diffName) => new(
        [new ImageLayer(FileIo.Open(below, OpenFlags.ReadOnly), belowName, isDirect: false), new ImageLayer(FileIo.Open(diff, OpenFlags.ReadOnly), diffName, isDirect: false)],
        PageBytes,
        CacheOf(1),
        "image");
}
