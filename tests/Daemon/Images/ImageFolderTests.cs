using UffdManager.Daemon.Images;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Images;

/// <summary>What is remembered of images in their directory, and what is made of a directory that lacks something.</summary>
public sealed class ImageFolderTests : ImageRegistryTest
{
    [Theory]
    [InlineData("\"path\": \"/", "\"path\": \"")]
    [InlineData("\"headerSha256\": \"", "\"headerSha256\": \"x")]
    [InlineData("\"path\": \"", "\"path\": null, \"other\": \"")]
    [InlineData("\"headerSha256\": \"", "\"headerSha256\": null, \"other\": \"")]
    public void Definition_that_lacks_something_is_told_and_not_used(string text, string instead)
    {
        using (ImageRegistry registry = Registry.In(Folder))
            registry.Add(Addition("clean", Write("memory", 8)));
        string remembered = Path.Combine(Folder, "clean.json");
        string good = File.ReadAllText(remembered);
        Assert.Contains(text, good, StringComparison.Ordinal);
        File.WriteAllText(remembered, good.Replace(text, instead, StringComparison.Ordinal));
        using ImageRegistry next = Registry.In(Folder);
        Assert.Single(next.Problems);
        Assert.Empty(next.All());
    }

    [Fact]
    public void Garbage_in_the_directory_is_told_and_does_no_harm()
    {
        using (ImageRegistry registry = Registry.In(Folder))
            registry.Add(Addition("clean", Write("memory", 8)));
        string good = File.ReadAllText(Path.Combine(Folder, "clean.json"));
        File.WriteAllText(Path.Combine(Folder, "garbage.json"), "{");
        File.WriteAllText(Path.Combine(Folder, "other.json"), good);
        File.WriteAllText(Path.Combine(Folder, "future.json"), good.Replace("\"clean\"", "\"future\"", StringComparison.Ordinal).Replace("\"version\": 1", "\"version\": 99", StringComparison.Ordinal));
        File.WriteAllText(Path.Combine(Folder, "half.json~"), good[..40]);
        using ImageRegistry next = Registry.In(Folder);
        Assert.Equal(["clean"], next.All().Select(image => image.Definition.Name));
        Assert.Equal(3, next.Problems.Count);
        using OpenedImage opened = next.Open("clean");
    }

    [Fact]
    public void Diff_whose_base_was_lost_is_listed_and_not_served()
    {
        using (ImageRegistry registry = Registry.In(Folder))
        {
            registry.Add(Addition("base", Write("base", 8)));
            registry.Add(Addition("diff", Write("diff", 8), "base"));
        }

        File.Delete(Path.Combine(Folder, "base.json"));
        using ImageRegistry next = Registry.In(Folder);
        Assert.Equal("base", next.Find("diff")!.MissingBase);
        Refused(() => next.Open("diff"), ImageFault.Conflict, "image base, which is not there");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Diff_is_served_upon_the_contents_that_it_was_made_upon_and_no_others(bool isTheSame)
    {
        string file = Write("base", 8);
        using (ImageRegistry registry = Registry.In(Folder))
        {
            registry.Add(Addition("base", file));
            registry.Add(Addition("diff", Write("diff", 8), "base"));
            registry.Add(Addition("second", Write("second", 8), "diff"));
        }

        File.Delete(Path.Combine(Folder, "base.json"));
        using ImageRegistry next = Registry.In(Folder);
        next.Add(Addition("base", isTheSame ? file : Write("today", 8)));
        if (isTheSame)
        {
            next.Open("second").Dispose();
            return;
        }

        Refused(() => next.Open("diff"), ImageFault.Conflict, "image diff was added as a diff upon other contents than those that image base has now");
        Refused(() => next.Open("second"), ImageFault.Conflict, "image diff was added as a diff upon other contents");
        Refused(() => next.Add(Addition("third", Write("third", 8), "diff")), ImageFault.Conflict, "image diff was added as a diff upon other contents");
        Assert.Null(next.Find("third"));
    }

    [Fact]
    public void File_of_an_image_that_cannot_be_read_is_not_written_over()
    {
        Directory.CreateDirectory(Folder);
        string remembered = Path.Combine(Folder, "clean.json");
        File.WriteAllText(remembered, "{ \"version\": 99 }");
        using ImageRegistry registry = Registry.In(Folder);
        Assert.Single(registry.Problems);
        Refused(() => registry.Add(Addition("clean", Write("memory", 8))), ImageFault.Conflict, $"{remembered} is there");
        Assert.Equal("{ \"version\": 99 }", File.ReadAllText(remembered));
        File.Move(remembered, remembered + ".old");
        registry.Add(Addition("clean", Temporary.Combine("memory")));
    }

    [Fact]
    public void Diff_that_does_not_say_upon_which_contents_is_not_read()
    {
        using (ImageRegistry registry = Registry.In(Folder))
        {
            registry.Add(Addition("base", Write("base", 8)));
            registry.Add(Addition("diff", Write("diff", 8), "base"));
        }

        Edit("diff", "baseIdentity", "somethingElse");
        using ImageRegistry next = Registry.In(Folder);
        Assert.Contains("which contents it is a diff upon", Assert.Single(next.Problems), StringComparison.Ordinal);
        Assert.Equal(["base"], next.All().Select(image => image.Definition.Name));
    }

    [Fact]
    public void Diff_of_an_earlier_build_that_does_not_say_upon_which_contents_is_known_and_not_served()
    {
        using (ImageRegistry registry = Registry.In(Folder))
        {
            registry.Add(Addition("base", Write("base", 8)));
            registry.Add(Addition("diff", Write("diff", 8), "base"));
        }

        Edit("diff", "baseIdentity", "somethingElse");
        Edit("diff", "\"version\": 2", "\"version\": 1");
        using ImageRegistry next = Registry.In(Folder);
        Assert.Empty(next.Problems);
        next.Open("base").Dispose();
        Refused(() => next.Open("diff"), ImageFault.Conflict, "was added by an earlier build");
        Refused(() => next.Add(Addition("above", Write("above", 8), "diff")), ImageFault.Conflict, "was added by an earlier build");
        Assert.Null(next.Remove("diff"));
        next.Add(Addition("diff", Temporary.Combine("diff"), "base"));
        next.Open("diff").Dispose();
    }

    [Fact]
    public void Image_whose_file_cannot_be_read_says_so_and_can_be_removed()
    {
        using (ImageRegistry registry = Registry.In(Folder))
        {
            registry.Add(Addition("base", Write("base", 8)));
            registry.Add(Addition("diff", Write("diff", 8), "base"));
        }

        string remembered = Path.Combine(Folder, "base.json");
        File.WriteAllText(remembered, "{");
        using ImageRegistry next = Registry.In(Folder);
        Assert.True(next.IsUnreadable("base"));
        Assert.Contains(remembered, Assert.Single(next.Unreadable()), StringComparison.Ordinal);
        Refused(() => next.Open("base"), ImageFault.Conflict, $"image base: {remembered} is not the file of an image that this build can read");
        Refused(() => next.Add(Addition("base", Temporary.Combine("base"))), ImageFault.Conflict, $"{remembered} is there");
        Assert.Null(next.Remove("base"));
        Assert.False(File.Exists(remembered));
        Assert.Empty(next.Unreadable());
        Refused(() => next.Open("base"), ImageFault.NotFound, "\"base\"");
        Refused(() => next.Remove("base"), ImageFault.NotFound, "\"base\"");
        next.Add(Addition("base", Temporary.Combine("base")));
        next.Open("diff").Dispose();
    }

    [Theory]
    [InlineData("clean")]
    [InlineData("a b")]
    public void File_that_could_not_be_read_and_was_moved_away_by_hand_is_forgotten(string name)
    {
        Directory.CreateDirectory(Folder);
        string remembered = Path.Combine(Folder, $"{name}.json");
        File.WriteAllText(remembered, "{");
        using ImageRegistry registry = Registry.In(Folder);
        Assert.True(registry.IsUnreadable(name));
        File.Move(remembered, remembered + ".old");
        Assert.Null(registry.Remove(name));
        Assert.Empty(registry.Unreadable());
        Refused(() => registry.Get(name), ImageFault.NotFound, $"\"{name}\"");
        Refused(() => registry.Remove(name), ImageFault.NotFound, $"\"{name}\"");
    }

    [Fact]
    public void File_of_no_images_name_is_left_alone_and_its_remedy_can_be_done()
    {
        Directory.CreateDirectory(Folder);
        string remembered = Path.Combine(Folder, "a b.json");
        File.WriteAllText(remembered, "{");
        using ImageRegistry registry = Registry.In(Folder);
        ImageException refused = Assert.Throws<ImageException>(() => registry.Remove("a b"));
        Assert.Equal(ImageFault.Conflict, refused.Fault);
        Assert.StartsWith("this is no name of an image: move the file away", refused.Remedy, StringComparison.Ordinal);
        Assert.True(File.Exists(remembered));
        Assert.Single(registry.Unreadable());
    }

    [Fact]
    public void Image_that_is_no_diff_can_be_read_by_the_build_before()
    {
        using ImageRegistry registry = Registry.In(Folder);
        registry.Add(Addition("base", Write("base", 8)));
        registry.Add(Addition("diff", Write("diff", 8), "base"));
        Assert.Contains("\"version\": 1,", File.ReadAllText(Path.Combine(Folder, "base.json")), StringComparison.Ordinal);
        Assert.Contains("\"version\": 2,", File.ReadAllText(Path.Combine(Folder, "diff.json")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../other")]
    [InlineData("")]
    [InlineData("..")]
    public void Only_what_has_the_place_of_an_image_is_removed(string name)
    {
        using ImageRegistry registry = Registry.In(Folder);
        Directory.CreateDirectory(Folder);
        string other = Temporary.Combine("state", "other.json");
        File.WriteAllText(other, "{");
        File.WriteAllText(Path.Combine(Folder, ".json"), "{");
        Refused(() => registry.Remove(name), ImageFault.NotFound, $"\"{name}\"");
        Assert.True(File.Exists(other) && File.Exists(Path.Combine(Folder, ".json")));
    }

    [Fact]
    public void Directory_that_cannot_be_written_is_told_and_nothing_is_added()
    {
        using ImageRegistry registry = Registry.In("/proc/nothing/here");
        Refused(() => registry.Add(Addition("clean", Write("memory", 8))), ImageFault.Kernel, "images.directory /proc/nothing/here cannot be written");
        Assert.Empty(registry.All());
    }

    [SkippableFact]
    public void Image_that_the_disk_has_no_room_to_remember_is_not_added()
    {
        Require.Root();
        string file = Write("memory", 8);
        using SmallDisk disk = new(Folder, 64 << 10);
        using ImageRegistry registry = Registry.In(Folder);
        registry.Add(Addition("first", file));
        disk.Fill();
        ImageException refused = Assert.Throws<ImageException>(() => registry.Add(Addition("second", file)));
        Assert.Equal((ImageFault.Kernel, Errno.ENOSPC), (refused.Fault, refused.Errno));
        Assert.StartsWith($"images.directory {Folder} cannot be written", refused.Message, StringComparison.Ordinal);
        Assert.StartsWith("make room on its file system", refused.Remedy, StringComparison.Ordinal);
        Assert.Equal(["first"], registry.All().Select(image => image.Definition.Name));
        Assert.Equal(["filler", "first.json"], Directory.GetFiles(Folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        File.Delete(Path.Combine(Folder, "filler"));
        registry.Add(Addition("second", file));
        using ImageRegistry next = Registry.In(Folder);
        Assert.Equal(["first", "second"], next.All().Select(image => image.Definition.Name));
    }
}
