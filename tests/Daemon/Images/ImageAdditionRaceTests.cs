using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Images;
using UffdManager.Engine.Images;
using Xunit;

namespace UffdManager.Daemon.Tests.Images;

/// <summary>What others do between the look at a file and the moment when it is an image.</summary>
public sealed class ImageAdditionRaceTests : ImageRegistryTest
{
    [Fact]
    public void Diff_is_not_added_upon_another_base_than_the_one_it_was_looked_at_with()
    {
        Interloper time = new();
        using ImageRegistry registry = At(time);
        registry.Add(Addition("base", Write("base", 8)));
        time.Meanwhile = () =>
        {
            registry.Remove("base");
            registry.Add(Addition("base", Write("another", 8)));
        };
        Refused(() => registry.Add(Addition("diff", Write("diff", 8), "base")), ImageFault.Conflict, "image base has become another one meanwhile");
        Assert.Equal(["base"], registry.All().Select(image => image.Definition.Name));
        registry.Add(Addition("diff", Write("diff", 8), "base"));
    }

    [Fact]
    public void Diff_is_not_added_upon_a_base_that_has_been_removed_meanwhile()
    {
        Interloper time = new();
        using ImageRegistry registry = At(time);
        registry.Add(Addition("base", Write("base", 8)));
        time.Meanwhile = () => registry.Remove("base");
        Refused(() => registry.Add(Addition("diff", Write("diff", 8), "base")), ImageFault.NotFound, "\"base\"");
        Assert.Empty(registry.All());
    }

    [Fact]
    public void Name_that_was_taken_meanwhile_stays_what_it_is()
    {
        Interloper time = new();
        using ImageRegistry registry = At(time);
        string first = Write("first", 8);
        time.Meanwhile = () => registry.Add(Addition("image", first));
        Refused(() => registry.Add(Addition("image", Write("second", 8))), ImageFault.Conflict, "there is an image image already");
        Assert.Equal(first, Assert.Single(registry.All()).Definition.Path);
    }

    private ImageRegistry At(TimeProvider time) => new(new ImageOptions { Directory = Folder, SourceDirectories = [], CacheBytes = 0, MapBytes = 0 }, new ChunkCache(16 << 20), time);

    /// <summary>A clock that is read when a file has been looked at and nothing is remembered yet.</summary>
    private sealed class Interloper : TimeProvider
    {
        public Action? Meanwhile { get; set; }

        public override DateTimeOffset GetUtcNow()
        {
            Action? meanwhile = Meanwhile;
            Meanwhile = null;
            meanwhile?.Invoke();
            return base.GetUtcNow();
        }
    }
}
