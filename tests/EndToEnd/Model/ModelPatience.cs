using System.Diagnostics;

namespace UffdManager.EndToEnd.Tests.Model;

/// <summary>
/// How long runs go on beyond their time for what they have not come to: one patience for all of them. A machine that is busy is so for all, and a project of tests that takes too long is killed with all its
/// results.
/// </summary>
/// <remarks>Runs come one after the other (<see cref="ModelCollection"/>).</remarks>
internal static class ModelPatience
{
    private static readonly TimeSpan s_all = TimeSpan.FromSeconds(180);

    // On a machine with nothing else to do what is rarest has come about after ten.
    private static readonly TimeSpan s_enough = TimeSpan.FromSeconds(60);

    private static readonly Stopwatch s_used = new();
    private static TimeSpan s_usedBefore;

    /// <summary>Whether this run may wait for longer.</summary>
    public static bool IsLeft => s_used.Elapsed < s_all;

    /// <summary>Whether this run has waited so long that what has not been done yet never will be.</summary>
    public static bool WasEnough => s_used.Elapsed - s_usedBefore >= s_enough;

    /// <summary>What all runs so far have used.</summary>
    public static TimeSpan Used => s_used.Elapsed;

    /// <summary>A run begins to wait.</summary>
    public static void Begin()
    {
        s_usedBefore = s_used.Elapsed;
        s_used.Start();
    }

    /// <summary>It has done all, or has to do without the rest.</summary>
    public static void End() => s_used.Stop();
}
