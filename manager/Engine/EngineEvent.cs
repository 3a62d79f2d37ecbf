using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <summary>Something that an operator may want to know. Published by the engine, which never logs itself.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
public abstract record EngineEvent(long At, Session Session);

/// <summary>A userfaultfd was taken over.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
public sealed record SessionStarted(long At, Session Session) : EngineEvent(At, Session);

/// <summary>A session is over.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
/// <param name="Reason">Why.</param>
/// <param name="Faults">Faults it read in its life.</param>
/// <param name="CopiedBytes">Bytes installed in its life.</param>
public sealed record SessionEnded(long At, Session Session, SessionEndReason Reason, long Faults, long CopiedBytes) : EngineEvent(At, Session);

/// <summary>A client forked, and its child became a session of its own.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
/// <param name="Parent">The session it was forked from.</param>
public sealed record ForkAdopted(long At, Session Session, Session Parent) : EngineEvent(At, Session);

/// <summary>A forked child is known by its pid from now on.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
public sealed record ForkIdentified(long At, Session Session) : EngineEvent(At, Session);

/// <summary>A child was forked beyond the tenant's limit of sessions.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
/// <param name="Released">True when its ranges were given to the kernel's zero fill; false when it will be killed as soon as it faults.</param>
/// <param name="Why">What stands against it; the rest of a sentence about the child.</param>
public sealed record ForkRefused(long At, Session Session, bool Released, string Why) : EngineEvent(At, Session);

/// <summary>A range was claimed that somebody else holds.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
/// <param name="Start">First byte of the claim.</param>
/// <param name="Length">Bytes of the claim.</param>
/// <param name="Holder">Who holds it.</param>
public sealed record RangeConflict(long At, Session Session, ulong Start, ulong Length, RangeHolder Holder) : EngineEvent(At, Session);

/// <summary>A client was killed because the engine could not give it the right contents.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
/// <param name="Address">The page.</param>
/// <param name="Reason">Why it could not be had.</param>
public sealed record ClientKilled(long At, Session Session, ulong Address, string Reason) : EngineEvent(At, Session);

/// <summary>A page was poisoned because it could not be had.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
/// <param name="Address">The page.</param>
/// <param name="Reason">Why it could not be had.</param>
public sealed record PagePoisoned(long At, Session Session, ulong Address, string Reason) : EngineEvent(At, Session);

/// <summary>A source failed; it is tried again until the deadline.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
/// <param name="Source">Description of the source.</param>
/// <param name="Offset">Byte offset in it.</param>
/// <param name="Errno">What it said.</param>
/// <param name="Attempts">How often it was asked.</param>
public sealed record SourceFailed(long At, Session Session, string Source, long Offset, Errno Errno, int Attempts) : EngineEvent(At, Session);

/// <summary>The huge pages of the machine are used up: faults of huge regions wait.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
/// <param name="Address">The page that waits.</param>
public sealed record HugePoolExhausted(long At, Session Session, ulong Address) : EngineEvent(At, Session);

/// <summary>A client did to its descriptor what only an attacker or a bug does.</summary>
/// <param name="At">Monotonic clock, nanoseconds.</param>
/// <param name="Session">The session it is about.</param>
/// <param name="What">What it did.</param>
public sealed record ClientMisbehaved(long At, Session Session, string What) : EngineEvent(At, Session);
