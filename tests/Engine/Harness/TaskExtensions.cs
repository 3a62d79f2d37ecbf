using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Harness;

/// <summary>Waiting for the engine's answers with a deadline.</summary>
public static class TaskExtensions
{
    /// <summary>The result; fails the test when it does not come.</summary>
    public static T Finish<T>(this Task<T> task)
    {
        Assert.True(task.Wait(Eventually.DefaultDeadline), "the engine does not answer");
        return task.Result;
    }

    public static void Finish(this Task task) => task.WaitAsync(TimeSpan.FromSeconds(60)).GetAwaiter().GetResult();
}
