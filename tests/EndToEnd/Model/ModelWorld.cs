using System.Globalization;
using UffdManager.TestSupport;

namespace UffdManager.EndToEnd.Tests.Model;

/// <summary>What a run is about, all of it made from the seed: files, images, policies, and the regions of the clients.</summary>
public sealed class ModelWorld : IDisposable
{
    private const int PageSize = 4096;
    private const int Bytes = 8 << 20;
    private const int HugeBytes = 2 << 20;

    private static readonly string[] s_layers = ["base", "middle", "top"];
    private static readonly string[] s_policies = ["plain", "around", "wide", "sequential", "replay", "full", "replayThenFull"];

    private readonly TempDirectory _directory = new();
    private readonly Random _random;

    public ModelWorld(int seed)
    {
        _random = new Random(seed);
        File.SetUnixFileMode(_directory.Path, (UnixFileMode)0b111_101_101);
        byte[] flat = new byte[Bytes];
        foreach ((string name, int filled) in ((string, int)[])[("base", 70), ("middle", 25), ("top", 25)])
        {
            Write(name, flat, filled);
            File.WriteAllBytes(_directory.Combine($"{name}.flat"), flat);
        }
    }

    /// <summary>Where the files are; snapshots may be written here.</summary>
    public string Directory => _directory.Path;

    /// <summary>The configuration; another one each time that it is asked for.</summary>
    public string Configuration()
    {
        string Policy(string mode, string around) => $$"""
            { "source": { "kind": "client" }, "faultAroundBytes": "{{around}}", "deadline": "90s",
              "prefetch": { "mode": "{{mode}}", "recordTime": "{{_random.Next(200, 3000)}}ms", "maxPagesInFlight": {{_random.Next(8, 512)}} } }
            """;
        return $$"""
            {
              "listen": { "mode": "0666" },
              "images": { "cacheBytes": "{{_random.Next(2, 64)}}MiB" },
              "workingSets": { "directory": "{{_directory.Combine("traces")}}" },
              "policies": {
                "zero": { "source": { "kind": "zero" }, "faultAroundBytes": "{{(_random.Next(2) == 0 ? "0B" : "16KiB")}}" },
                "plain": {{Policy("none", "0B")}}, "around": {{Policy("none", "64KiB")}}, "wide": {{Policy("none", "2MiB")}},
                "sequential": {{Policy("sequential", "0B")}}, "replay": {{Policy("replay", "32KiB")}},
                "full": {{Policy("full", "64KiB")}}, "replayThenFull": {{Policy("replayThenFull", "16KiB")}}
              },
              "tenants": {
                "everybody": {
                  "default": true, "defaultPolicy": "zero", "policies": ["*"], "images": ["*"], "sourceDirectories": ["{{_directory.Path}}"],
                  "limits": { "sessions": 1024, "connections": 1024, "sources": 1024 }
                }
              }
            }
            """;
    }

    /// <summary>The bodies of the requests that add the images, in order.</summary>
    public IEnumerable<string> Images()
    {
        string? below = null;
        foreach (string name in s_layers)
        {
            string direct = _random.Next(2) == 0 ? "true" : "false";
            string on = below is null ? "" : $", \"base\": \"{below}\"";
            yield return $$"""{ "name": "{{name}}", "file": "{{_directory.Combine(name)}}", "direct": {{direct}}{{on}} }""";
            below = name;
        }
    }

    /// <summary>Options of a client.</summary>
    public IEnumerable<string> Client(bool huge)
    {
        int workers = huge ? 2 : _random.Next(2, 5);
        yield return "--workers";
        yield return $"{workers}";
        yield return "--pace";
        yield return $"{_random.Next(10, 120)}";
        if (_random.Next(3) != 0)
            yield return "--forks";
        foreach (string region in huge ? HugeRegions(workers) : Regions(workers))
        {
            yield return "--region";
            yield return region;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _directory.Dispose();

    private IEnumerable<string> Regions(int workers)
    {
        yield return $"kind=anonymous,pages={_random.Next(16, 200)}{Protect()}";
        yield return $"kind=anonymous,pages={_random.Next(16, 200)},{FileSource(PageSize)}{Protect()}";
        yield return $"kind=anonymous,pages={_random.Next(16, 200)},{ImageSource(PageSize)}{Protect()}";
        yield return $"kind=private,pages={_random.Next(16, 100)},{ImageSource(PageSize)}";
        yield return $"kind=shared,pages={_random.Next(16, 100)},{FileSource(PageSize)}";
        for (int worker = 0; worker < workers; worker++)
        {
            for (int i = 0; i < 3; i++)
            {
                string source = _random.Next(5) switch
                {
                    0 => "kind=anonymous",
                    1 => $"kind=anonymous,{FileSource(PageSize)}",
                    2 => $"kind=anonymous,{ImageSource(PageSize)}",
                    3 => $"kind=private,{ImageSource(PageSize)}",
                    _ => $"kind=private,{FileSource(PageSize)}",
                };
                string protect = source.Contains("private", StringComparison.Ordinal) ? "" : Protect();
                yield return $"{source},pages={_random.Next(8, 96)},owner={worker}{protect}";
            }
        }
    }

    private IEnumerable<string> HugeRegions(int workers)
    {
        yield return $"kind=huge,pages=3{Protect()}";
        yield return $"kind=huge,pages=2,{ImageSource(HugeBytes)}{Protect()}";
        for (int worker = 0; worker < workers; worker++)
            yield return $"kind=huge,pages={_random.Next(1, 3)},owner={worker},{(_random.Next(2) == 0 ? FileSource(HugeBytes) : ImageSource(HugeBytes))}";
        yield return $"kind=anonymous,pages=64,owner=0,{ImageSource(PageSize)}";
    }

    private string Protect() => _random.Next(3) == 0 ? ",protect=1" : "";

    private string FileSource(int pageBytes)
    {
        string file = _directory.Combine($"{s_layers[_random.Next(3)]}.flat");
        return $"file={file},expects={file},{Common(pageBytes)}";
    }

    private string ImageSource(int pageBytes)
    {
        string layer = s_layers[_random.Next(3)];
        return $"name=image:{layer},expects={_directory.Combine($"{layer}.flat")},{Common(pageBytes)}";
    }

    private string Common(int pageBytes)
    {
        int offset = pageBytes == PageSize ? _random.Next(0, 1024) * PageSize : _random.Next(0, 2) * HugeBytes;
        string remove = _random.Next(2) == 0 ? "source" : "zero";
        return string.Create(CultureInfo.InvariantCulture, $"offset={offset},policy={s_policies[_random.Next(s_policies.Length)]},remove={remove}");
    }

    // A file with pieces of data between holes; `flat` becomes what one sees through them.
    private void Write(string name, byte[] flat, int percentFilled)
    {
        using FileStream file = new(_directory.Combine(name), FileMode.CreateNew);
        file.SetLength(Bytes);
        for (int page = 0; page < Bytes / PageSize;)
        {
            int length = Math.Min(_random.Next(1, 40), (Bytes / PageSize) - page);
            if (_random.Next(100) < percentFilled)
            {
                Span<byte> piece = flat.AsSpan(page * PageSize, length * PageSize);
                _random.NextBytes(piece);
                file.Position = (long)page * PageSize;
                file.Write(piece);
            }

            page += length;
        }
    }
}
