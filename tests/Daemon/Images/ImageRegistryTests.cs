using UffdManager.Daemon.Images;
using UffdManager.Engine.Images;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Images;

/// <summary>Adding, remembering, opening and removing images.</summary>
public sealed class ImageRegistryTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    private string Folder => _directory.Combine("state", "images");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Image_that_was_added_is_there_after_a_restart()
    {
        string file = Write("memory", 8);
        using (ImageRegistry registry = Registry.In(Folder))
            registry.Add(Addition("clean", file));
        using ImageRegistry next = Registry.In(Folder);
        Assert.Empty(next.Problems);
        ImageReading image = Assert.Single(next.All());
        Assert.Equal(("clean", file, 8 * 4096L), (image.Definition.Name, image.Definition.Path, image.Definition.Bytes));
        Assert.Null(image.Source);
        using OpenedImage opened = next.Open("clean");
        Assert.Equal(8 * 4096, opened.Source.Length);
        Assert.Equal(["clean.json"], Directory.GetFiles(Folder).Select(Path.GetFileName));
    }

    [Fact]
    public void Everybody_who_opens_an_image_shares_it_and_it_stays_open()
    {
        using ImageRegistry registry = Registry.In(Folder);
        registry.Add(Addition("clean", Write("memory", 8)));
        LayeredSource source;
        string identity;
        using (OpenedImage first = registry.Open("clean"))
            (source, identity) = (first.Source, first.Identity);
        using OpenedImage second = registry.Open("clean");
        Assert.Same(source, second.Source);
        Assert.Equal(identity, second.Identity);
    }

    [Fact]
    public void Diff_is_opened_upon_all_that_is_below_it()
    {
        using (ImageRegistry registry = Registry.In(Folder))
        {
            registry.Add(Addition("base", Write("base", 8)));
            registry.Add(Addition("one", Write("one", 8), "base"));
            registry.Add(Addition("two", Write("two", 8), "one"));
        }

        using ImageRegistry next = Registry.In(Folder);
        Assert.Equal(["base", "one", "two"], next.Find("two")!.Layers.Select(layer => layer.Name));
        using OpenedImage two = next.Open("two");
        using OpenedImage one = next.Open("one");
        Assert.NotEqual(one.Identity, two.Identity);
        Refused(() => next.Remove("one"), ImageFault.Conflict, "two is a diff upon one");
        next.Remove("two");
        next.Remove("one");
        Assert.Equal(["base"], next.All().Select(image => image.Definition.Name));

        // Who has it goes on.
        Assert.Equal(8 * 4096, two.Source.Length);
        Refused(() => next.Open("two"), ImageFault.NotFound, "\"two\"");
    }

    [Theory]
    [InlineData("written")]
    [InlineData("truncated")]
    [InlineData("replaced")]
    [InlineData("gone")]
    public void File_that_is_not_what_it_was_is_not_served_from(string what)
    {
        string file = Write("memory", 8);
        using (ImageRegistry registry = Registry.In(Folder))
            registry.Add(Addition("clean", file));
        DateTime time = File.GetLastWriteTimeUtc(file);
        if (what == "written")
            File.WriteAllBytes(file, new byte[8 * 4096]);
        else if (what == "truncated")
            File.WriteAllBytes(file, new byte[7 * 4096]);
        else
            File.Move(file, file + "~");
        if (what == "replaced")
        {
            File.WriteAllBytes(file, File.ReadAllBytes(file + "~"));
            File.SetLastWriteTimeUtc(file, time);
        }

        using ImageRegistry next = Registry.In(Folder);
        Refused(() => next.Open("clean"), what == "gone" ? ImageFault.NotFound : ImageFault.Conflict, file);
    }

    [Fact]
    public void File_that_changes_while_it_is_open_is_not_given_to_anybody_new()
    {
        string file = Write("memory", 8);
        using ImageRegistry registry = Registry.In(Folder);
        registry.Add(Addition("clean", file));
        using OpenedImage held = registry.Open("clean");
        using (FileStream stream = new(file, FileMode.Open))
            stream.WriteByte(77);
        Refused(() => registry.Open("clean"), ImageFault.Conflict, "is not what it was when image clean was added");
        registry.Remove("clean");
        registry.Add(Addition("clean", file));
        using OpenedImage now = registry.Open("clean");
        Assert.NotEqual(held.Identity, now.Identity);
    }

    [Fact]
    public void File_that_is_put_back_is_served_from_again()
    {
        string file = Write("memory", 8);
        DateTime time = DateTime.UnixEpoch.AddDays(1);
        File.SetLastWriteTimeUtc(file, time);
        using ImageRegistry registry = Registry.In(Folder);
        registry.Add(Addition("clean", file));
        using OpenedImage held = registry.Open("clean");
        File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch);
        Refused(() => registry.Open("clean"), ImageFault.Conflict, file);
        File.SetLastWriteTimeUtc(file, time);
        using OpenedImage now = registry.Open("clean");
        Assert.NotSame(held.Source, now.Source);
        Assert.Equal(held.Identity, now.Identity);
        Assert.Null(now.Source.ChangedFile);

        // One that begins to be served from other contents half-way would be served wrong.
        Assert.Equal(file, held.Source.ChangedFile);
    }

    [Fact]
    public void Image_is_opened_once_however_many_want_it_at_the_same_time()
    {
        using (ImageRegistry registry = Registry.In(Folder))
            registry.Add(Addition("clean", Write("memory", 8)));
        using ImageRegistry next = Registry.In(Folder);
        using Barrier start = new(16);
        OpenedImage[] opened = new OpenedImage[16];
        Thread[] threads =
        [
            .. Enumerable.Range(0, 16).Select(i => new Thread(() =>
            {
                start.SignalAndWait();
                opened[i] = next.Open("clean");
            })),
        ];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        Assert.All(opened, image => Assert.Same(opened[0].Source, image.Source));
        Assert.Equal(1, next.Opened);
        foreach (OpenedImage image in opened)
            image.Dispose();
    }

    [Fact]
    public void Source_of_the_manager_before_whose_file_has_another_path_now_and_changes_is_told_by_the_name_of_the_image()
    {
        string file = Write("memory", 8);
        ChunkCache cache = new(16 << 20);
        using ImageRegistry before = Registry.In(_directory.Combine("before"), cache);
        before.Add(Addition("clean", file));
        using OpenedImage model = before.Open("clean");
        string moved = file + "-moved";
        File.Move(file, moved);
        using (ImageRegistry registry = Registry.In(Folder))
            registry.Add(Addition("clean", moved));
        using ImageRegistry next = Registry.In(Folder, cache);
        next.Restore(model.Source, model.Source.OwnerTag);
        using (OpenedImage opened = next.Open("clean"))
            Assert.Same(model.Source, opened.Source);
        File.SetLastWriteTimeUtc(moved, DateTime.UnixEpoch);
        Refused(() => next.Open("clean"), ImageFault.Conflict, $"{moved} is not what it was when image clean was added");
        Assert.Null(next.Find("clean")!.Source);
        next.Restore(model.Source, model.Source.OwnerTag);
        Assert.Null(next.Find("clean")!.Source);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void File_of_a_restricted_operator_is_never_opened_through_a_link(bool direct)
    {
        string directory = Directory.CreateDirectory(_directory.Combine("srv")).FullName;
        string inside = Path.Combine(directory, "memory");
        File.WriteAllBytes(inside, new byte[8192]);
        using (ImageRegistry registry = Registry.In(Folder, directory))
            registry.Add(Addition("good", inside) with { MayUseAnyFile = false, Direct = direct });

        // The same file, as far as anybody can tell, and yet not below the directory.
        string outside = _directory.Combine("outside");
        File.Move(inside, outside);
        File.CreateSymbolicLink(inside, outside);
        using ImageRegistry next = Registry.In(Folder);
        Refused(() => next.Open("good"), ImageFault.Kernel, "symbolic links are not followed");
        File.Delete(inside);
        File.Move(outside, inside);
        next.Open("good").Dispose();
    }

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
    public void What_cannot_be_an_image_is_refused_and_not_remembered()
    {
        string file = Write("memory", 8);
        using ImageRegistry registry = Registry.In(Folder);
        registry.Add(Addition("clean", file));
        Refused(() => registry.Add(Addition("clean", file)), ImageFault.Conflict, "already");
        Refused(() => registry.Add(Addition("a/b", file)), ImageFault.Invalid, "a/b");
        Refused(() => registry.Add(Addition("..", file)), ImageFault.Invalid, "..");
        Refused(() => registry.Add(Addition("x", "memory")), ImageFault.Invalid, "absolute");
        Refused(() => registry.Add(Addition("x", _directory.Path)), ImageFault.Invalid, "regular");
        Refused(() => registry.Add(Addition("x", Write("empty", 0))), ImageFault.Invalid, "empty");
        Refused(() => registry.Add(Addition("x", "/nowhere")), ImageFault.NotFound, "/nowhere");
        Refused(() => registry.Add(Addition("x", file, "nothing")), ImageFault.NotFound, "nothing");
        Refused(() => registry.Add(Addition("x", file, "clean")), ImageFault.Invalid, "is the file of image clean");
        Refused(() => registry.Add(Addition("x", Write("short", 4), "clean")), ImageFault.Invalid, "a diff is not shorter");
        Refused(() => registry.Add(Addition("x", file) with { PageBytes = 2 << 20 }), ImageFault.Invalid, "whole pages");
        Refused(() => registry.Add(Addition("x", file) with { PageBytes = 8192 }), ImageFault.Invalid, "8192");
        Assert.Equal(["clean"], registry.All().Select(image => image.Definition.Name));
        Assert.Single(Directory.GetFiles(Folder));
    }

    [Fact]
    public void Image_has_a_number_of_files_that_can_be_kept_open()
    {
        using ImageRegistry registry = Registry.In(Folder);
        registry.Add(Addition("i0", Write("f0", 1)));
        for (int i = 1; i < ImageRegistry.MaximumLayers; i++)
            registry.Add(Addition($"i{i}", Write($"f{i}", 1), $"i{i - 1}"));
        Refused(() => registry.Add(Addition("more", Write("more", 1), $"i{ImageRegistry.MaximumLayers - 1}")), ImageFault.Invalid, "at most 16 files");
    }

    [Fact]
    public void Operator_without_all_rights_adds_files_of_the_directories_for_that_alone()
    {
        string inside = Path.Combine(Directory.CreateDirectory(_directory.Combine("srv")).FullName, "memory");
        File.WriteAllBytes(inside, new byte[4096]);
        string outside = Write("secret", 1);
        File.CreateSymbolicLink(_directory.Combine("srv", "link"), outside);
        using ImageRegistry registry = Registry.In(Folder, _directory.Combine("srv"));
        registry.Add(Addition("good", inside) with { MayUseAnyFile = false });
        Refused(() => registry.Add(Addition("bad", outside) with { MayUseAnyFile = false }), ImageFault.Forbidden, "images.sourceDirectories");
        Refused(() => registry.Add(Addition("bad", _directory.Combine("srv", "link")) with { MayUseAnyFile = false }), ImageFault.Kernel, "symbolic links are not followed");
        Refused(() => registry.Add(Addition("bad", _directory.Combine("srv", "..", "secret")) with { MayUseAnyFile = false }), ImageFault.Kernel, "leads out of the directory");
    }

    [Fact]
    public void Garbage_in_the_directory_is_told_and_does_no_harm()
    {
        using (ImageRegistry registry = Registry.In(Folder))
            registry.Add(Addition("clean", Write("memory", 8)));
        string good = File.ReadAllText(Path.Combine(Folder, "clean.json"));
        File.WriteAllText(Path.Combine(Folder, "garbage.json"), "{");
        File.WriteAllText(Path.Combine(Folder, "other.json"), good);
        File.WriteAllText(Path.Combine(Folder, "future.json"), good.Replace("\"clean\"", "\"future\"", StringComparison.Ordinal).Replace("\"version\": 2", "\"version\": 99", StringComparison.Ordinal));
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
        registry.Add(Addition("clean", _directory.Combine("memory")));
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
        Edit("base", "\"version\": 2", "\"version\": 1");
        using ImageRegistry next = Registry.In(Folder);
        Assert.Empty(next.Problems);
        next.Open("base").Dispose();
        Refused(() => next.Open("diff"), ImageFault.Conflict, "was added by an earlier build");
        Refused(() => next.Add(Addition("above", Write("above", 8), "diff")), ImageFault.Conflict, "was added by an earlier build");
        Assert.Null(next.Remove("diff"));
        next.Add(Addition("diff", _directory.Combine("diff"), "base"));
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
        Refused(() => next.Add(Addition("base", _directory.Combine("base"))), ImageFault.Conflict, $"{remembered} is there");
        Assert.Null(next.Remove("base"));
        Assert.False(File.Exists(remembered));
        Assert.Empty(next.Unreadable());
        Refused(() => next.Open("base"), ImageFault.NotFound, "\"base\"");
        Refused(() => next.Remove("base"), ImageFault.NotFound, "\"base\"");
        next.Add(Addition("base", _directory.Combine("base")));
        next.Open("diff").Dispose();
    }

    [Theory]
    [InlineData("../other")]
    [InlineData("")]
    [InlineData("..")]
    public void Only_what_has_the_place_of_an_image_is_removed(string name)
    {
        using ImageRegistry registry = Registry.In(Folder);
        Directory.CreateDirectory(Folder);
        string other = _directory.Combine("state", "other.json");
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
        Refused(() => registry.Add(Addition("second", file)), ImageFault.Kernel, $"images.directory {Folder} cannot be written");
        Assert.Equal(["first"], registry.All().Select(image => image.Definition.Name));
        Assert.Equal(["filler", "first.json"], Directory.GetFiles(Folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        File.Delete(Path.Combine(Folder, "filler"));
        registry.Add(Addition("second", file));
        using ImageRegistry next = Registry.In(Folder);
        Assert.Equal(["first", "second"], next.All().Select(image => image.Definition.Name));
    }

    [Fact]
    public void Source_of_the_manager_before_is_shared_again_if_it_is_the_same_image()
    {
        string file = Write("memory", 8);
        ChunkCache cache = new(16 << 20);
        using (ImageRegistry registry = Registry.In(Folder))
            registry.Add(Addition("clean", file));
        using ImageRegistry next = Registry.In(Folder, cache);
        using OpenedImage model = next.Open("clean");
        using ImageRegistry successor = Registry.In(Folder, cache);
        successor.Restore(model.Source, "1 clean image:other");
        Assert.Null(successor.Find("clean")!.Source);
        successor.Restore(model.Source, model.Source.OwnerTag);
        using OpenedImage opened = successor.Open("clean");
        Assert.Same(model.Source, opened.Source);
    }

    [Fact]
    public void Direct_reads_are_used_where_the_file_system_has_them()
    {
        string file = Write("memory", 8);
        using ImageRegistry registry = Registry.In(Folder);
        registry.Add(Addition("clean", file) with { Direct = true });
        bool possible = FileIo.TryOpen(file, OpenFlags.ReadOnly | OpenFlags.Direct, out _) is { } direct;
        using OpenedImage opened = registry.Open("clean");
        Assert.Equal(possible, opened.Source.IsDirect);
    }

    private static ImageAddition Addition(string name, string file, string? below = null) => new(name, file, below, PageBytes: null, Direct: false, MayUseAnyFile: true);

    private static void Refused(Action action, ImageFault fault, string text)
    {
        ImageException refused = Assert.Throws<ImageException>(action);
        Assert.Equal(fault, refused.Fault);
        Assert.Contains(text, refused.Message, StringComparison.Ordinal);
    }

    private string Write(string name, int pages)
    {
        byte[] contents = new byte[pages * 4096];
        new Random(name.GetHashCode(StringComparison.Ordinal)).NextBytes(contents);
        return _directory.WriteFile(name, contents);
    }

    private void Edit(string name, string text, string instead)
    {
        string path = Path.Combine(Folder, $"{name}.json");
        string before = File.ReadAllText(path);
        Assert.Contains(text, before, StringComparison.Ordinal);
        File.WriteAllText(path, before.Replace(text, instead, StringComparison.Ordinal));
    }
}
