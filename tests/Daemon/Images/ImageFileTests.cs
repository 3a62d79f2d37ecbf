using UffdManager.Daemon.Images;
using UffdManager.Engine.Images;
using Xunit;

namespace UffdManager.Daemon.Tests.Images;

/// <summary>Files of images that have become others, and those that only some may open.</summary>
public sealed class ImageFileTests : ImageRegistryTest
{
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
    public void Source_of_the_manager_before_whose_file_has_another_path_now_and_changes_is_told_by_the_name_of_the_image()
    {
        string file = Write("memory", 8);
        ChunkCache cache = new(16 << 20);
        using ImageRegistry before = Registry.In(Temporary.Combine("before"), cache);
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
        string directory = Directory.CreateDirectory(Temporary.Combine("srv")).FullName;
        string inside = Path.Combine(directory, "memory");
        File.WriteAllBytes(inside, new byte[8192]);
        using (ImageRegistry registry = Registry.In(Folder, directory))
            registry.Add(Addition("good", inside) with { MayUseAnyFile = false, Direct = direct });

        // The same file, as far as anybody can tell, and yet not below the directory.
        string outside = Temporary.Combine("outside");
        File.Move(inside, outside);
        File.CreateSymbolicLink(inside, outside);
        using ImageRegistry next = Registry.In(Folder);
        Refused(() => next.Open("good"), ImageFault.Kernel, "symbolic links are not followed");
        File.Delete(inside);
        File.Move(outside, inside);
        next.Open("good").Dispose();
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
}
