using System.Globalization;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>What a process holds of the machine.</summary>
/// <param name="Descriptors">Open file descriptors.</param>
/// <param name="Threads">Threads.</param>
/// <param name="PrivateBytes">Resident memory that is not of a file.</param>
public readonly record struct Footprint(int Descriptors, int Threads, long PrivateBytes)
{
    public static bool Of(int pid, out Footprint footprint)
    {
        string[] status = File.ReadAllLines($"/proc/{pid}/status");
        long Field(string name) => long.Parse(
            status.First(line => line.StartsWith(name + ":", StringComparison.Ordinal)).Split(':')[1].Replace("kB", "", StringComparison.Ordinal),
            CultureInfo.InvariantCulture);
        footprint = new Footprint(Directory.EnumerateFileSystemEntries($"/proc/{pid}/fd").Count(), (int)Field("Threads"), Field("RssAnon") << 10);
        return true;
    }

    public override string ToString() => $"{Descriptors} descriptors, {Threads} threads, {PrivateBytes >> 10} KiB";
}
