using UffdManager.Daemon.Images;
using UffdManager.Engine.Images;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Daemon.Tests.Images;

/// <summary>Adding, opening, sharing and removing images.</summary>
public sealed class ImageRegistryTests : ImageRegistryTest
{
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
    public void What_cannot_be_an_image_is_refused_and_not_remembered()
    {
        string file = Write("memory", 8);
        using ImageRegistry registry = Registry.In(Folder);
        registry.Add(Addition("clean", file));
        Refused(() => registry.Add(Addition("clean", file)), ImageFault.Conflict, "already");
        Refused(() => registry.Add(Addition("a/b", file)), ImageFault.Invalid, "a/b");
        Refused(() => registry.Add(Addition("..", file)), ImageFault.Invalid, "..");
        Refused(() => registry.Add(Addition("x", "memory")), ImageFault.Invalid, "absolute");
        Refused(() => registry.Add(Addition("x", Temporary.Path)), ImageFault.Invalid, "regular");
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
        string inside = Path.Combine(Directory.CreateDirectory(Temporary.Combine("srv")).FullName, "memory");
        File.WriteAllBytes(inside, new byte[4096]);
        string outside = Write("secret", 1);
        File.CreateSymbolicLink(Temporary.Combine("srv", "link"), outside);
        using ImageRegistry registry = Registry.In(Folder, Temporary.Combine("srv"));
        registry.Add(Addition("good", inside) with { MayUseAnyFile = false });
        Refused(() => registry.Add(Addition("bad", outside) with { MayUseAnyFile = false }), ImageFault.Forbidden, "images.sourceDirectories");
        Refused(() => registry.Add(Addition("bad", Temporary.Combine("srv", "link")) with { MayUseAnyFile = false }), ImageFault.Kernel, "symbolic links are not followed");
        Refused(() => registry.Add(Addition("bad", Temporary.Combine("srv", "..", "secret")) with { MayUseAnyFile = false }), ImageFault.Kernel, "leads out of the directory");
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
}
