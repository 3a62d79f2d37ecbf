using System.Runtime.InteropServices;
using System.Text;

namespace UffdManager.Linux;

/// <summary>sched_setaffinity(2) and the name of a thread.</summary>
public static unsafe partial class Affinity
{
    [CName("PR_SET_NAME")] private const int SetName = 15;
    private const int MaskBytes = 1024; // CPUs 0..8191, the kernel's limit

    /// <summary>CPUs that this process may run on.</summary>
    public static int OnlineCpus
    {
        get
        {
            byte* mask = stackalloc byte[MaskBytes];
            if (SchedGetAffinity(0, MaskBytes, mask) < 0)
                return Environment.ProcessorCount;
            int count = 0;
            for (int i = 0; i < MaskBytes; i++)
                count += System.Numerics.BitOperations.PopCount(mask[i]);
            return count;
        }
    }

    /// <summary>Binds the calling thread to CPU <paramref name="cpu"/>. A thread of the pool must not be bound.</summary>
    /// <exception cref="SyscallException">EINVAL: no such CPU, or not allowed by the cpuset.</exception>
    public static void PinCurrentThread(int cpu)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(cpu);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(cpu, MaskBytes * 8);
        byte* mask = stackalloc byte[MaskBytes];
        NativeMemory.Clear(mask, MaskBytes);
        mask[cpu / 8] = (byte)(1 << (cpu % 8));
        if (SchedSetAffinity(0, MaskBytes, mask) < 0)
            throw LastError.Exception("sched_setaffinity", $"cpu {cpu}");
    }

    /// <summary>Names the calling thread for top and /proc; cut to 15 bytes.</summary>
    public static Errno SetThreadName(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        Span<byte> text = stackalloc byte[16];
        text.Clear();
        Encoding.UTF8.GetEncoder().Convert(name, text[..15], flush: true, out _, out _, out _);
        fixed (byte* pointer = text)
            return Prctl(SetName, (nuint)pointer, 0, 0, 0) < 0 ? LastError.Get() : Errno.OK;
    }

    [LibraryImport(Libc.Name, EntryPoint = "sched_setaffinity", SetLastError = true)]
    private static partial int SchedSetAffinity(int thread, nuint size, byte* mask);

    [LibraryImport(Libc.Name, EntryPoint = "sched_getaffinity", SetLastError = true)]
    private static partial int SchedGetAffinity(int thread, nuint size, byte* mask);

    [LibraryImport(Libc.Name, EntryPoint = "prctl", SetLastError = true)]
    private static partial int Prctl(int option, nuint a, nuint b, nuint c, nuint d);
}
