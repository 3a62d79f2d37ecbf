using UffdManager.Daemon.Configuration;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Configuration;

public sealed class ConfigurationFilesTests
{
    [Fact]
    public void Drop_ins_come_after_the_file_in_name_order_and_only_json_counts()
    {
        using TempDirectory directory = new();
        string main = directory.WriteFile("config.json", "{}"u8);
        Directory.CreateDirectory(directory.Combine("d"));
        foreach (string name in (string[])["20-b.json", "10-z.json", "9-a.json", "30.json.bak", "README"])
            File.WriteAllText(directory.Combine("d", name), "{}");

        List<ConfigurationError> errors = [];
        IReadOnlyList<JsonLayer> layers = new ConfigurationFiles(main, directory.Combine("d")).Read(errors);

        Assert.Empty(errors);
        Assert.Equal(
            [main, directory.Combine("d", "10-z.json"), directory.Combine("d", "20-b.json"), directory.Combine("d", "9-a.json")],
            layers.Select(layer => layer.Name));
    }

    [Fact]
    public void File_named_by_hand_stands_alone()
    {
        using TempDirectory directory = new();
        string main = directory.WriteFile("config.json", "{}"u8);
        Assert.Equal([main], new ConfigurationFiles(main, Directory: null).Read([]).Select(layer => layer.Name));
    }

    [Fact]
    public void File_or_directory_named_by_hand_must_exist()
    {
        using TempDirectory directory = new();
        List<ConfigurationError> errors = [];
        new ConfigurationFiles(directory.Combine("none.json"), directory.Combine("none.d")).Read(errors);
        Assert.Equal([directory.Combine("none.json"), directory.Combine("none.d")], errors.Select(error => error.Key));
    }
}
