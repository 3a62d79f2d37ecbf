using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>The service manager has no room for what a range needs.</summary>
public sealed class FullStoreTests : RestoreTest
{
    [Fact]
    public void Range_whose_source_cannot_be_kept_is_refused_and_had_once_there_is_room()
    {
        FileSource file = RandomFile((long)Page, 1, out byte[] contents);
        ServedClient client = Serve();
        ulong at = client.Client.Map("anon", Page).Address;
        Store.IsFull = true;
        AssertRefused(client.TryRegister(at, Page, file).Error);
        AssertRefused(client.TryRegister(at, Page, ZeroSource.Instance, Named with { Name = "file", Source = file }).Error);
        Assert.Equal((0, 0), (Alice.Usage.Regions, Alice.Usage.RegisteredBytes));
        Store.IsFull = false;
        client.Register(at, Page, file);
        RestoreReport report = Restart();
        Assert.Empty(report.Failures);
        client = Again(client, report);
        Assert.Equal(contents[0], client.Client.ReadByte(at));
    }

    [Fact]
    public void Image_that_cannot_be_kept_is_shown_by_nobody()
    {
        FileSource file = RandomFile((long)Page, 1, out byte[] contents);
        ServedClient client = Serve();
        using SharedImage image = SharedImage.Create(file, 0, (long)Page, writable: false, "image");
        using SafeFd handed = image.HandOut(writable: false);
        ulong at = client.Client.Run($"mapfd {client.Client.Give(handed)} 0 {Page} 0 3");
        UffdRegisterModes modes = UffdRegisterModes.Missing | UffdRegisterModes.Minor;
        Store.IsFull = true;
        AssertRefused(Engine.Keep(image));
        AssertRefused(client.TryRegister(at, Page, image: image, modes: modes).Error);
        Store.IsFull = false;
        Assert.Null(Engine.Keep(image));
        Assert.Null(client.TryRegister(at, Page, image: image, modes: modes).Error);
        RestoreReport report = Restart();
        Assert.Empty(report.Failures);
        client = Again(client, report);
        Assert.Equal(contents[0], client.Client.ReadByte(at));
    }

    [Fact]
    public void What_was_stored_in_part_is_given_up()
    {
        HalfStore store = new();
        DescriptorKeeper keeper = new(store);
        using FileSource source = RandomFile((long)Page, 1, out _);
        Assert.False(source.Keep(keeper));
        Assert.Equal((0L, 0), (source.StoreId, store.Names));
    }

    private static void AssertRefused(EngineError? error)
    {
        Assert.Equal((EngineErrorKind.Limit, Errno.EDQUOT), (error?.Kind, error?.Errno));
        Assert.Contains("FileDescriptorStoreMax=", error!.Text, StringComparison.Ordinal);
    }

    // Sends what there is room for, and then says that there was not enough.
    private sealed class HalfStore : IDescriptorStore
    {
        public bool IsKept => true;

        public bool IsPrompt => true;

        public bool IsSettled => true;

        public int Names { get; private set; }

        public bool TryStore(string name, ReadOnlySpan<SafeFd> descriptors)
        {
            Names++;
            return false;
        }

        public void Remove(string name) => Names--;

        public Task SettleAsync() => Task.CompletedTask;

        public Task<bool> SynchronizeAsync(TimeSpan patience) => Task.FromResult(true);
    }
}
