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

    /// <summary>Sets the nice value of the calling thread; EACCES or EPERM when it would be lowered without CAP_SYS_NICE. See setpriority(2).</summary>
    /// <param name="nice">-20..19.</param>
    public static Errno TrySetNice(int nice) => SetPriority(PriorityOfProcess, 0, nice) < 0 ? LastError.Get() : Errno.OK;

    // To Linux a thread is a process here, and 0 is the calling one.
    [CName("PRIO_PROCESS")] private const int PriorityOfProcess = 0;

    [LibraryImport(Libc.Name, EntryPoint = "setpriority", SetLastError = true)]
    private static partial int SetPriority(int which, uint who, int nice);

    [LibraryImport(Libc.Name, EntryPoint = "sched_setaffinity", SetLastError = true)]
    private static partial int SchedSetAffinity(int thread, nuint size, byte* mask);

    [LibraryImport(Libc.Name, EntryPoint = "sched_getaffinity", SetLastError = true)]
    private static partial int SchedGetAffinity(int thread, nuint size, byte* mask);

    [LibraryImport(Libc.Name, EntryPoint = "prctl", SetLastError = true)]
    private static partial int Prctl(int option, nuint a, nuint b, nuint c, nuint d);
}
