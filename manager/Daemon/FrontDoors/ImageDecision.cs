using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>An object, or why there is none.</summary>
/// <param name="Lease">The object; the caller disposes it. Null if refused.</param>
/// <param name="Code">Kind of refusal.</param>
/// <param name="Errno">What a system call would say.</param>
/// <param name="Text">Why, for people.</param>
internal readonly record struct ImageDecision(ImageLease? Lease, ErrorCode Code, Errno Errno, string Text);
