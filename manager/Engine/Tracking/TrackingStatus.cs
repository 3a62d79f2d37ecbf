namespace UffdManager.Engine.Tracking;

/// <summary>How a session is tracked.</summary>
/// <param name="Since">When tracking began, monotonic nanoseconds.</param>
/// <param name="IsAsynchronous">Whether the kernel notes the writes itself (WP_ASYNC); else the first write of each page is a fault.</param>
/// <param name="TrackedBytes">Bytes of the regions that are tracked.</param>
/// <param name="UntrackedBytes">Bytes of regions of which nothing is known: mailboxes, and memory registered since that cannot be write-protected.</param>
public sealed record TrackingStatus(long Since, bool IsAsynchronous, ulong TrackedBytes, ulong UntrackedBytes);
