namespace UffdManager.Engine;

/// <summary>The one place where threads are made: named, in the background, and fatal when their work throws.</summary>
internal static class EngineThread
{
    // The deepest recursion is a page table of four levels; the default of 8 MiB would be address space for nothing.
    private const int StackBytes = 512 * 1024;

    [ThreadStatic]
    private static bool s_isFaultLoop;

    /// <summary>Whether the calling thread is a fault loop, which must not wait: not even for the close of a stranger's file.</summary>
    public static bool IsFaultLoop => s_isFaultLoop;

    /// <summary>Marks the calling thread as a fault loop.</summary>
    public static void BecomeFaultLoop() => s_isFaultLoop = true;

    public static Thread Start(string name, Action work)
    {
        Thread thread = new(
            () =>
            {
                try
                {
                    work();
                }
#pragma warning disable CA1031 // A thread that serves faults must not die quietly: its clients would hang for ever.
                catch (Exception error)
#pragma warning restore CA1031
                {
                    Environment.FailFast($"{name} died: {error}", error);
                }
            },
            StackBytes)
        {
            IsBackground = true,
            Name = name,
        };
        thread.Start();
        return thread;
    }
}
