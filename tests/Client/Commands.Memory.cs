using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using UffdManager.Client;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.TestClient;

/// <content>Commands about memory. Those that make a region yield its address.</content>
internal sealed partial class Commands
{
    // create REGION CLIENT LENGTH [options of a registration]
    private async Task<string[]> CreateAsync(CommandLine line) =>
        Keep(line, await ManagedRegion.CreateAsync(Client(line, 1), line.Number(2), Registered(line)));

    // map-file REGION CLIENT PATH OFFSET LENGTH [descriptor=]
    private async Task<string[]> MapFileAsync(CommandLine line)
    {
        if (!line.Has("descriptor"))
            return Keep(line, await ManagedRegion.MapFileAsync(Client(line, 1), line.Word(2), line.Number(3), line.Number(4)));
        using SafeFile file = FileIo.Open(line.Word(2), OpenFlags.ReadOnly);
        return Keep(line, await ManagedRegion.MapFileAsync(Client(line, 1), file, line.Number(3), line.Number(4)));
    }

    // map-object OBJECT CLIENT LENGTH [policy=] [path=] [name=] [writable=]
    private async Task<string[]> MapObjectAsync(CommandLine line)
    {
        var options = new MapOptions
        {
            Policy = line.Option("policy"),
            SourcePath = line.Option("path"),
            Name = line.Option("name"),
            Writable = line.Has("writable"),
        };
        _things[line.Word(0)] = await Client(line, 1).MapAsync(line.Number(2), options);
        return [];
    }

    // view REGION CLIENT OBJECT
    private async Task<string[]> ViewAsync(CommandLine line) =>
        Keep(line, await ManagedRegion.MapObjectAsync(Client(line, 1), (MappedObject)_things[line.Word(2)]));

    private async Task<string[]> PrefetchAsync(CommandLine line) => [$"{await Region(line).PrefetchAsync(line.Number(1), line.Number(2))}"];

    // advise REGION OFFSET LENGTH ADVICE: errno
    private Task<string[]> Advise(CommandLine line)
    {
        nuint address = Region(line).Address + (nuint)line.Number(1);
        Errno errno = NativePages.Advise(address, line.Number(2), Enum.Parse<MemoryAdvice>(line.Word(3)));
        return Task.FromResult<string[]>([$"{errno}"]);
    }

    // digest REGION OFFSET LENGTH: SHA-256
    private Task<string[]> Digest(CommandLine line)
    {
        Span<byte> bytes = Region(line).Slice(line.Number(1), (int)line.Number(2));
        return Task.FromResult<string[]>([Convert.ToHexStringLower(SHA256.HashData(bytes))]);
    }

    private Task<string[]> Peek(CommandLine line) => Task.FromResult<string[]>([$"{Load(ref Region(line).Slice(line.Number(1), 1)[0])}"]);

    // As the compiler makes it in programs that are not debugged: code without loops has safe points only where it calls or returns, and
    // the collector's signal, which does interrupt the waiting, finds the thread between two of them and has to let it wait on.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static byte Load(ref byte place) => place;

    private static RegisterOptions Registered(CommandLine line) => new()
    {
        Policy = line.Option("policy"),
        SourcePath = line.Option("path"),
        RemoveMeansSource = line.Has("remove-means-source"),
        Modes = line.Has("write-protect") ? RegisterModes.Missing | RegisterModes.WriteProtect : RegisterModes.Missing,
    };

    private string[] Keep(CommandLine line, ManagedRegion region)
    {
        _things[line.Word(0)] = region;
        return [$"{region.Address}"];
    }
}
