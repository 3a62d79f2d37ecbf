using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Harness;

/// <summary>A client and the session that serves it.</summary>
public sealed record ServedClient(FaultEngine Engine, ClientProcess Client, Session Session, int UffdNumber)
{
    private const ulong Page = 4096;

    /// <summary>Maps anonymous memory and registers it.</summary>
    public ulong MapRegistered(ulong length, PageSource? source = null, Policy? policy = null, RegionFlags flags = RegionFlags.None, UffdRegisterModes modes = UffdRegisterModes.Missing, long offset = 0)
    {
        (ulong address, _) = Client.Map("anon", length);
        Register(address, length, source, policy, flags, modes, offset);
        return address;
    }

    /// <summary>Registers a range, which must succeed. Without a policy, zeros or what the source has.</summary>
    public void Register(ulong start, ulong length, PageSource? source = null, Policy? policy = null, RegionFlags flags = RegionFlags.None, UffdRegisterModes modes = UffdRegisterModes.Missing, long offset = 0) =>
        Assert.Null(TryRegister(start, length, source, policy, flags, modes, offset).Error);

    public EngineResult TryRegister(ulong start, ulong length, PageSource? source = null, Policy? policy = null, RegionFlags flags = RegionFlags.None, UffdRegisterModes modes = UffdRegisterModes.Missing, long offset = 0, SharedImage? image = null) =>
        Engine.RegisterAsync(Session, new RegisterRequest
        {
            Start = start,
            Length = length,
            Modes = modes,
            Policy = policy ?? Session.DefaultPolicy,
            Source = source ?? (image is null && (policy ?? Session.DefaultPolicy).Source is null && (flags & RegionFlags.Mailbox) == 0 ? ZeroSource.Instance : null),
            SourceOffset = offset,
            Image = image,
            Flags = flags,
        }).Finish();

    public SessionStatus Status() => Engine.StatusAsync(Session).Finish();

    public IReadOnlyList<RegionInfo> Regions() => Engine.RegionsAsync(Session).Finish();

    /// <summary>Every page of a range holds what <see cref="ScriptedSource"/> has there.</summary>
    public void AssertHolds(ulong start, ulong length, ScriptedSource source, long offset = 0, int thread = 0)
    {
        for (ulong at = 0; at < length; at += Page)
            Assert.Equal((ulong)source.ByteOf(offset + (long)at), Client.Run($"read {start + at}", thread));
    }

    /// <summary>Has a thread of the client do what the kernel tells of, and waits until that can be read. The session's loop must stand still.</summary>
    public PendingReply BeginToTell(string command, int thread = 1)
    {
        PendingReply pending = Client.Begin(command, thread);
        using FdLease uffd = Session.Uffd.Lease();
        Assert.True(FdPoll.WaitReadable(uffd, Eventually.DefaultDeadline), $"nothing is told of \"{command}\"");
        return pending;
    }

    public void AssertZero(ulong start, ulong length) => Assert.Equal(0UL, Client.Run($"differ {start} {length} 0"));
}
