using System.Diagnostics;
using Xunit;

namespace UffdManager.TestSupport;

/// <summary>Waits for what another process or thread will bring about, and fails with words when it does not.</summary>
public static class Eventually
{
    /// <summary>Enough for a loaded machine, short enough for a human.</summary>
    public static readonly TimeSpan DefaultDeadline = TimeSpan.FromSeconds(20);

    /// <summary>Polls <paramref name="condition"/> until it holds; fails at the deadline.</summary>
    public static void True(Func<bool> condition, TimeSpan deadline, string what = "the condition")
    {
        ArgumentNullException.ThrowIfNull(condition);
        long begin = Stopwatch.GetTimestamp();
        SpinWait wait = default;
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(begin) > deadline)
                Assert.Fail($"Waited {deadline.TotalSeconds} s for {what} in vain");
            wait.SpinOnce();
        }
    }

    /// <summary>As the other overload, with the default deadline.</summary>
    public static void True(Func<bool> condition, string what = "the condition") => True(condition, DefaultDeadline, what);

    /// <summary>Fails when <paramref name="condition"/> comes to hold within <paramref name="window"/>: for what must not happen.</summary>
    public static void Never(Func<bool> condition, TimeSpan window, string what = "the condition")
    {
        ArgumentNullException.ThrowIfNull(condition);
        long begin = Stopwatch.GetTimestamp();
        SpinWait wait = default;
        while (Stopwatch.GetElapsedTime(begin) < window)
        {
            if (condition())
                Assert.Fail($"{what} must not happen, and did after {Stopwatch.GetElapsedTime(begin).TotalMilliseconds} ms");
            wait.SpinOnce();
        }
    }
}
