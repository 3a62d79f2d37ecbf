using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>CLOCK_BOOTTIME, which unlike CLOCK_MONOTONIC goes on while the machine sleeps: the clock of the start times of processes.</summary>
public static unsafe partial class BoottimeClock
{
    [CName("CLOCK_BOOTTIME")] private const int Boottime = 7;

    /// <summary>Nanoseconds since the machine was started; never goes back. No system call (vDSO).</summary>
    public static long NowNanoseconds
    {
        get
        {
            TimeSpec now;
            _ = GetTime(Boottime, &now);
            return (now.Seconds * 1_000_000_000) + now.Nanoseconds;
        }
    }

    // It neither waits nor fails.
    [SuppressGCTransition]
    [LibraryImport(Libc.Name, EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, TimeSpec* time);
}
