using System.Runtime.InteropServices;

namespace UffdManager.Benchmarks;

/// <summary>Where the numbers come from; without it they mean nothing.</summary>
internal sealed record Machine(string Cpu, int Cores, string Hypervisor, string Kernel, string Distribution, double MemoryGiB, string Runtime)
{
    public static Machine Describe()
    {
        string[] cpu = File.ReadAllLines("/proc/cpuinfo");
        string model = Field(cpu, "model name") ?? RuntimeInformation.ProcessArchitecture.ToString();
        bool virtualised = (Field(cpu, "flags") ?? "").Split(' ').Contains("hypervisor", StringComparer.Ordinal);
        string memory = Field(File.ReadAllLines("/proc/meminfo"), "MemTotal") ?? "0 kB";
        string[] release = File.Exists("/etc/os-release") ? File.ReadAllLines("/etc/os-release") : [];
        string distribution = release.FirstOrDefault(line => line.StartsWith("PRETTY_NAME=", StringComparison.Ordinal)) ?? "=unknown";
        return new Machine(
            model, Environment.ProcessorCount, virtualised ? "virtual machine" : "bare metal",
            File.ReadAllText("/proc/sys/kernel/osrelease").Trim(), distribution.Split('=', 2)[1].Trim('"'),
            Math.Round(long.Parse(memory.Split(' ')[0]) / 1024.0 / 1024.0, 1), RuntimeInformation.FrameworkDescription);
    }

    public override string ToString() =>
        $"{Cpu}, {Cores} CPUs ({Hypervisor}), {MemoryGiB} GiB, Linux {Kernel}, {Distribution}, {Runtime}";

    private static string? Field(IEnumerable<string> lines, string name) =>
        lines.Select(line => line.Split(':', 2)).FirstOrDefault(parts => parts.Length == 2 && parts[0].Trim() == name)?[1].Trim();
}
