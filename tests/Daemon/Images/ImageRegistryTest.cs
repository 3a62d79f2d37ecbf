using UffdManager.Daemon.Images;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Images;

/// <summary>What the tests of the registry have in common: a directory of its own for each.</summary>
public abstract class ImageRegistryTest : IDisposable
{
    private readonly TempDirectory _directory = new();

    private protected TempDirectory Temporary => _directory;

    private protected string Folder => _directory.Combine("state", "images");

    public void Dispose()
    {
        _directory.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected static ImageAddition Addition(string name, string file, string? below = null) => new(name, file, below, PageBytes: null, Direct: false, MayUseAnyFile: true);

    private protected static void Refused(Action action, ImageFault fault, string text)
    {
        ImageException refused = Assert.Throws<ImageException>(action);
        Assert.Equal(fault, refused.Fault);
        Assert.Contains(text, refused.Message, StringComparison.Ordinal);
    }

    private protected string Write(string name, int pages)
    {
        byte[] contents = new byte[pages * 4096];
        new Random(name.GetHashCode(StringComparison.Ordinal)).NextBytes(contents);
        return _directory.WriteFile(name, contents);
    }

    private protected void Edit(string name, string text, string instead)
    {
        string path = Path.Combine(Folder, $"{name}.json");
        string before = File.ReadAllText(path);
        Assert.Contains(text, before, StringComparison.Ordinal);
        File.WriteAllText(path, before.Replace(text, instead, StringComparison.Ordinal));
    }
}
