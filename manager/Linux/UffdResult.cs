namespace UffdManager.Linux;

/// <summary>Outcome of an ioctl that fills pages.</summary>
/// <param name="Errno">OK when the whole range was done.</param>
/// <param name="Progress">Bytes done from the start, never negative; on EAGAIN the rest may be tried again or is present already.</param>
public readonly record struct UffdResult(Errno Errno, long Progress);
