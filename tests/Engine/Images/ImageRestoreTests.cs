using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.State;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>Layered images under the next manager.</summary>
public sealed class ImageRestoreTests : RestoreTest
{
    private const int PageBytes = 4096;

    [Fact]
    public void Layers_are_told_apart_whatever_their_order_in_the_store()
    {
        LayeredSource source = Make(out _, out _);
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, source);
        Assert.Equal(1, client.Client.ReadByte(at));
        EndManager();
        RestoreReport report = Engine.RestoreAsync([.. Store.HandOn().Reverse()], this).Finish();
        Assert.Empty(report.Failures);
        client = Again(client, report);
        Assert.Equal(2, client.Client.ReadByte(at + Page));
        Assert.Equal(1, client.Client.ReadByte(at + (2 * Page)));
        Assert.Equal(0, client.Client.ReadByte(at + (3 * Page)));
        LayeredSource restored = Assert.IsType<LayeredSource>(Assert.Single(RestoredSources).Source);
        Assert.Equal(("an image", "tag"), (restored.Description, RestoredSources[0].Tag));
    }

    [Fact]
    public void Restore_searches_no_file_before_somebody_needs_a_page()
    {
        LayeredSource source = Make(out _, out _);
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, source);
        Assert.Equal(1, client.Client.ReadByte(at));
        RestoreReport report = Restart();
        client = Again(client, report);
        LayeredSource restored = Assert.IsType<LayeredSource>(Assert.Single(RestoredSources).Source);
        Assert.Null(restored.DataBytes);
        Assert.Equal(2, client.Client.ReadByte(at + Page));
        Assert.Equal(3 * PageBytes, restored.DataBytes);
    }

    [Fact]
    public void Layer_that_changed_while_nobody_looked_ends_those_who_need_a_page_of_it()
    {
        LayeredSource source = Make(out _, out string diff);
        Policy killing = new() { Name = "killing", OnUnavailable = Verdict.Kill, Deadline = TimeSpan.FromSeconds(30), RetryBackoff = TimeSpan.FromMilliseconds(1) };
        (ServedClient full, ServedClient half) = (Serve(), Serve());
        ulong atFull = full.MapRegistered(4 * Page, source, killing);
        ulong atHalf = half.MapRegistered(4 * Page, source, killing);
        for (ulong page = 0; page < 4; page++)
            _ = full.Client.ReadByte(atFull + (page * Page));
        Assert.Equal(1, half.Client.ReadByte(atHalf));
        EndManager();
        File.SetLastWriteTimeUtc(diff, DateTime.UnixEpoch);
        RestoreReport report = StartNext();
        Assert.Empty(report.Failures);
        (full, half) = (Again(full, report), Again(half, report));
        half.Client.Begin($"read {atHalf + Page}", 1);
        half.Client.WaitForExit();
        Assert.Equal(diff, Assert.IsType<LayeredSource>(Assert.Single(RestoredSources).Source).ChangedFile);
        Assert.Equal((2, 0), (full.Client.ReadByte(atFull + Page), full.Client.ReadByte(atFull + (3 * Page))));
    }

    [Fact]
    public void Each_session_hears_why_its_image_could_not_be_restored()
    {
        LayeredSource source = Make(out string below, out _);
        ServedClient[] clients = [Serve(), Serve()];
        foreach (ServedClient client in clients)
            client.MapRegistered(4 * Page, source);
        EndManager();
        string name = Store.Names.Single(stored => stored.StartsWith("source-", StringComparison.Ordinal));
        Store.Lose(name, it => FileIo.ReadDescriptorLink(it) == below);
        using SafeFile other = FileIo.Open(Temp.WriteFile("other", [1]), OpenFlags.ReadOnly);
        Assert.True(Store.TryStore(name, [other]));
        RestoreReport report = StartNext();
        Assert.Equal(2, report.Failures.Count);
        Assert.All(report.Failures, failure => Assert.Contains($"{below}, a file of an image, is another file", failure.Reason, StringComparison.Ordinal));
        foreach (ServedClient client in clients)
            client.Client.WaitForExit();
    }

    [Fact]
    public void Layer_whose_descriptor_is_lost_fails_closed()
    {
        LayeredSource source = Make(out string below, out _);
        ServedClient client = Serve();
        client.MapRegistered(4 * Page, source);
        EndManager();
        Store.Lose(Store.Names.Single(name => name.StartsWith("source-", StringComparison.Ordinal)), it => FileIo.ReadDescriptorLink(it) == below);
        RestoreFailure failure = Assert.Single(StartNext().Failures);
        Assert.True(failure.Killed);
        client.Client.WaitForExit();
    }

    [Fact]
    public void Descriptors_leave_the_store_with_the_image()
    {
        LayeredSource source = Make(out _, out _);
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, source);
        string name = Assert.Single(Store.Names, name => name.StartsWith("source-", StringComparison.Ordinal));
        Assert.Equal(2, Store.All(name).Count);
        Assert.Null(Engine.UnregisterAsync(client.Session, at, 4 * Page).Finish().Error);
        source.Dispose();
        TestSupport.Eventually.True(() => !Store.Names.Contains(name), "the source to leave the store");
    }

    [Fact]
    public void Object_that_is_kept_by_permission_is_filled_by_the_next_manager_for_all_clones()
    {
        LayeredSource source = Make(out _, out _);
        SharedImage image = SharedImage.Create(source, 0, 4 * PageBytes, writable: false, "object", byPermission: true);
        (ServedClient one, ulong atOne) = Map(image);
        (ServedClient two, ulong atTwo) = Map(image);
        Assert.Equal(1, one.Client.ReadByte(atOne));
        image.Dispose();
        RestoreReport report = Restart();
        Assert.Empty(report.Failures);
        SharedImage restored = Assert.Single(RestoredImages).Image;
        Assert.True(restored.CanFill);
        (one, two) = (Again(one, report), Again(two, report));
        Assert.Equal((2, 1), (one.Client.ReadByte(atOne + Page), one.Client.ReadByte(atOne + (2 * Page))));
        Assert.Equal((2, 1), (two.Client.ReadByte(atTwo + Page), two.Client.ReadByte(atTwo + (2 * Page))));

        // Mapped and not copied: what the second one reads was made for the first.
        Assert.Equal(0, two.Status().CopiedBytes);
        using SafeFd descriptor = restored.HandOut(writable: false);
        Assert.Equal(0b100_000_000u, FileIo.Stat(descriptor).Mode & 0b111_111_111);
    }

    [Fact]
    public void Plain_file_is_one_under_the_next_manager_too_and_its_holes_are_found_with_the_first_fetch()
    {
        PlainImage source = Own(new PlainImage(Open(Write("plain", (0, 1), (2, 3))), "a file"));
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, source);
        Assert.Equal((1, 0), (client.Client.ReadByte(at), client.Client.ReadByte(at + Page)));
        RestoreReport report = Restart();
        Assert.Empty(report.Failures);
        client = Again(client, report);
        PlainImage restored = Assert.IsType<PlainImage>(Assert.Single(RestoredSources).Source);
        Assert.Equal((source.Identity, source.Location), (restored.Identity, restored.Location));
        Assert.False(restored.KnowsHoles);
        nuint buffer = NativePages.Map((ulong)PageBytes);
        Assert.Equal(Errno.OK, restored.Fetch(2 * PageBytes, PageBytes, buffer, out _));
        NativePages.Unmap(buffer, (ulong)PageBytes);
        Assert.True(restored.KnowsHoles);
        long copied = client.Status().CopiedBytes;
        Assert.Equal(0, client.Client.ReadByte(at + (3 * Page)));
        Assert.Equal(copied, client.Status().CopiedBytes);
        Assert.Equal(3, client.Client.ReadByte(at + (2 * Page)));
    }

    [Fact]
    public void Plain_file_that_changed_while_nobody_looked_ends_who_needs_a_page_of_it()
    {
        string path = Write("plain", (0, 1), (2, 3));
        PlainImage source = Own(new PlainImage(Open(path), "a file"));
        Policy killing = new() { Name = "killing", OnUnavailable = Verdict.Kill, Deadline = TimeSpan.FromSeconds(30), RetryBackoff = TimeSpan.FromMilliseconds(1) };
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * Page, source, killing);
        Assert.Equal(1, client.Client.ReadByte(at));
        EndManager();
        File.WriteAllBytes(path, new byte[PageBytes]);
        RestoreReport report = StartNext();
        Assert.Empty(report.Failures);
        client = Again(client, report);
        Assert.Equal(1, client.Client.ReadByte(at));
        client.Client.Begin($"read {at + (3 * Page)}", 1);
        client.Client.WaitForExit();
    }

    [Fact]
    public void What_a_sealed_object_has_is_copied_by_the_next_manager_without_its_file()
    {
        LayeredSource source = Make(out _, out string diff);
        SharedImage image = SharedImage.Create(source, 0, 4 * PageBytes, writable: false, "object");
        (ServedClient mapper, ulong at) = Map(image);
        for (ulong page = 0; page < 4; page++)
            _ = mapper.Client.ReadByte(at + (page * Page));
        image.Dispose();
        ServedClient clone = Serve();
        ulong other = clone.MapRegistered(4 * Page, source);
        EndManager();
        File.SetLastWriteTimeUtc(diff, DateTime.UnixEpoch);
        RestoreReport report = StartNext();
        Assert.Empty(report.Failures);
        (mapper, clone) = (Again(mapper, report), Again(clone, report));
        Assert.Equal((1, 2, 0), (clone.Client.ReadByte(other), clone.Client.ReadByte(other + Page), clone.Client.ReadByte(other + (3 * Page))));
        Assert.Null(Assert.IsType<LayeredSource>(RestoredSources[0].Source).DataBytes);
        Assert.Equal(2, mapper.Client.ReadByte(at + Page));
    }

    private (ServedClient Client, ulong Address) Map(SharedImage image)
    {
        ServedClient client = Serve();
        using SafeFd descriptor = image.HandOut(writable: false);
        int number = client.Client.Give(descriptor);
        ulong at = client.Client.Run($"mapfd {number} 0 {4 * Page} 0 3");
        Assert.Null(client.TryRegister(at, 4 * Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor, image: image).Error);
        return (client, at);
    }

    private LayeredSource Make(out string below, out string diff)
    {
        below = Write("below", (0, 1), (1, 1), (2, 1));
        diff = Write("diff", (1, 2));
        return Own(new LayeredSource([Open(below), Open(diff)], PageBytes, Engine.ImageCache, "an image") { OwnerTag = "tag" });
    }

    private static ImageLayer Open(string path) => new(FileIo.Open(path, OpenFlags.ReadOnly), path, isDirect: false);

    private string Write(string name, params (int Page, byte Value)[] pages)
    {
        string path = Temp.Combine(name);
        using FileStream file = new(path, FileMode.CreateNew);
        file.SetLength(4 * PageBytes);
        foreach ((int page, byte value) in pages)
        {
            file.Position = page * PageBytes;
            file.Write([.. Enumerable.Repeat(value, PageBytes)]);
        }

        return path;
    }
}
