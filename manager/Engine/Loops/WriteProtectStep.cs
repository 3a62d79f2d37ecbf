namespace UffdManager.Engine.Loops;

/// <summary>How a slice of write protection went.</summary>
internal enum WriteProtectStep
{
    /// <summary>The whole range is done.</summary>
    Done,

    /// <summary>One slice is done, and there are more.</summary>
    Progress,

    /// <summary>EAGAIN: an event is unread, or its thread has not run yet.</summary>
    TryAgain,

    /// <summary>It cannot be done.</summary>
    Failed,
}
