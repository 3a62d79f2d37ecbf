using System.Diagnostics;
using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>
/// Fault injection of builds with CRASH_POINTS: <c>UFFD_MANAGER_CRASH_AT=point[:n][:stall]</c> makes the process die by SIGKILL at the n-th visit of a
/// point (names in kebab case), or the visiting thread stand still for ever. With <c>UFFD_MANAGER_CRASH_ONCE=path</c> only whoever creates that file
/// does so: the successor, which has the same environment, lives. Other builds have no trace of it.
/// </summary>
internal static class CrashPoints
{
    private static readonly CrashPoint? s_point;
    private static readonly bool s_stall;
    private static int s_visitsLeft;

    static CrashPoints()
    {
        string[] parts = (Environment.GetEnvironmentVariable("UFFD_MANAGER_CRASH_AT") ?? string.Empty).Split(':');
        foreach (CrashPoint point in Enum.GetValues<CrashPoint>())
        {
            if (NameOf(point) == parts[0])
            {
                s_point = point;
            }
        }

        s_stall = parts[^1] == "stall";
        s_visitsLeft = parts.Length > 1 && int.TryParse(parts[1], out int visits) ? visits : 1;
    }

    /// <summary>The name of a point in the environment variable.</summary>
    public static string NameOf(CrashPoint point) =>
        string.Concat(point.ToString().Select((letter, index) => char.IsUpper(letter) ? (index > 0 ? "-" : string.Empty) + char.ToLowerInvariant(letter) : letter.ToString()));

    /// <summary>Dies here if that is asked for.</summary>
    [Conditional("CRASH_POINTS")]
    public static void Visit(CrashPoint point)
    {
        if (s_point == point && Interlocked.Decrement(ref s_visitsLeft) == 0 && MayAct())
        {
            Act();
        }
    }

    private static bool MayAct()
    {
        string? once = Environment.GetEnvironmentVariable("UFFD_MANAGER_CRASH_ONCE");
        if (once is null)
        {
            return true;
        }

        try
        {
            using FileStream created = new(once, FileMode.CreateNew);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static void Act()
    {
        if (!s_stall)
        {
            using SafePidFd self = PidFd.TryOpen(Environment.ProcessId, out Errno errno) ?? throw new SyscallException(errno, "pidfd_open", "self");
            _ = PidFd.SendSignal(self, Signals.Kill);
        }

        new ManualResetEventSlim().Wait();
    }
}
