using System.Text.Json;
using UffdManager.TestSupport;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>What the tests of images and working sets on a real daemon have in common: files of 96 pages, and who may name them.</summary>
public abstract class ImageControlTest : IDisposable
{
    private protected const int PageSize = 4096;
    private protected const ulong Pages = 96;

    private protected const string Configuration = """
        {
          "policies": { "zero": { } },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "zero", "policies": ["*"], "images": ["clean", "diff"] } }
        }
        """;

    private protected static ControlApiDocument Document { get; } = ControlApiDocument.Read();

    private protected TempDirectory Temporary { get; } = new();

    public void Dispose()
    {
        Temporary.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected static string Addition(string name, string file, string? below = null) =>
        JsonSerializer.Serialize(new Dictionary<string, string?> { ["name"] = name, ["file"] = file, ["base"] = below });

    private protected string Write(string name, byte value)
    {
        byte[] contents = new byte[(int)Pages * PageSize];
        contents.AsSpan().Fill(value);
        return Temporary.WriteFile(name, contents);
    }

    private protected string WriteDiff()
    {
        string path = Temporary.Combine("diff.mem");
        using FileStream file = new(path, FileMode.CreateNew);
        file.SetLength((long)Pages * PageSize);
        file.Position = PageSize;
        file.Write([.. Enumerable.Repeat((byte)2, PageSize)]);
        return path;
    }
}
