using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Supervision;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <content>HELLO and ATTACH: from a connection to a session.</content>
internal sealed partial class RequestHandler
{
    private const HelloFlags Kinds =
        HelloFlags.WantDevice | HelloFlags.HasUffd | HelloFlags.ForkChild | HelloFlags.NoSession | HelloFlags.Resume;

    private Task<Reply> HelloAsync(Connection connection, HelloMessage hello, DescriptorSet descriptors)
    {
        if (hello.MinVersion > ProtocolLimits.Version || hello.MaxVersion < ProtocolLimits.Version)
        {
            string text = $"versions {hello.MinVersion} to {hello.MaxVersion} are offered, this manager speaks {ProtocolLimits.Version}";
            return Task.FromResult(Reply.Error(ErrorCode.Version, Errno.EPROTONOSUPPORT, text, thenClose: true));
        }

        if (ExplainFlags(hello) is { } problem)
            return Task.FromResult(Invalid(problem));
        PolicyDecision policy = services.Policies.Find(connection.Tenant, hello.Policy);
        if (!policy.IsGranted)
            return Task.FromResult(Reply.Error(ErrorCode.Policy, Errno.ENOENT, policy.Refusal));
        if (IsRefusedByDrain(hello.Flags & (Kinds | HelloFlags.Adopt)))
            return Task.FromResult(Draining());

        return (hello.Flags & Kinds) switch
        {
            HelloFlags.NoSession => Task.FromResult(Control(connection, policy.Grant)),
            HelloFlags.WantDevice => Task.FromResult(Device(connection, hello, policy.Grant)),
            HelloFlags.ForkChild => ForkChildAsync(connection, hello),
            HelloFlags.HasUffd => TakeAsync(connection, hello, hello.Flags, hello.RequestedFeatures, policy.Grant, descriptors),
            _ => ResumeAsync(connection, hello, policy.Grant, descriptors),
        };
    }

    private Task<Reply> AttachAsync(Connection connection, AttachMessage attach, DescriptorSet descriptors)
    {
        if ((attach.Flags & HelloFlags.HasUffd) == HelloFlags.None)
            return Task.FromResult(Invalid("ATTACH brings a userfaultfd"));
        if (ExplainUffdFlags(attach.Flags) is { } problem)
            return Task.FromResult(Invalid(problem));
        if (IsRefusedByDrain(attach.Flags & (HelloFlags.HasUffd | HelloFlags.Adopt)))
            return Task.FromResult(Draining());
        HelloMessage hello = connection.Hello!;
        PolicyDecision policy = services.Policies.Find(connection.Tenant, hello.Policy);
        if (!policy.IsGranted)
            return Task.FromResult(Reply.Error(ErrorCode.Policy, Errno.ENOENT, policy.Refusal));
        HelloFlags flags = attach.Flags | (hello.Flags & (HelloFlags.SubjectIsParent | HelloFlags.KeepsDescriptor));
        return TakeAsync(connection, hello, flags, attach.RequestedFeatures, policy.Grant, descriptors);
    }

    private static string? ExplainFlags(HelloMessage hello)
    {
        HelloFlags kind = hello.Flags & Kinds;
        if (kind is not (HelloFlags.WantDevice or HelloFlags.HasUffd or HelloFlags.ForkChild or HelloFlags.NoSession or HelloFlags.Resume
            or (HelloFlags.Resume | HelloFlags.HasUffd)))
        {
            return "HELLO says exactly one of WANT_DEVICE, HAS_UFFD, FORK_CHILD, NO_SESSION and RESUME, or RESUME with HAS_UFFD";
        }

        bool tokenWanted = (kind & (HelloFlags.ForkChild | HelloFlags.Resume)) != HelloFlags.None;
        if (tokenWanted != (hello.Token != 0))
            return "a token is given with FORK_CHILD and RESUME, and only then";
        if (kind == (HelloFlags.Resume | HelloFlags.HasUffd) && (hello.Flags & HelloFlags.Adopt) == HelloFlags.None)
            return "RESUME with a userfaultfd needs ADOPT";
        return ExplainUffdFlags(hello.Flags);
    }

    private static string? ExplainUffdFlags(HelloFlags flags)
    {
        const HelloFlags Adopted = HelloFlags.HasUffd | HelloFlags.ApiDone;
        if ((flags & HelloFlags.Adopt) != HelloFlags.None && (flags & Adopted) != Adopted)
            return "ADOPT needs HAS_UFFD and API_DONE";
        return (flags & Adopted) == HelloFlags.ApiDone ? "API_DONE needs HAS_UFFD"
            : (flags & (HelloFlags.HasUffd | HelloFlags.UserModeOnly)) == HelloFlags.UserModeOnly ? "USER_MODE_ONLY needs HAS_UFFD"
            : null;
    }

    // What lives already is let in: a forked child, a session that is resumed, one that comes over from an earlier manager.
    private bool IsRefusedByDrain(HelloFlags kind) =>
        kind is HelloFlags.WantDevice or HelloFlags.HasUffd && services.Drain is { IsDraining: true };

    private static Reply Draining() => Reply.Error(
        ErrorCode.ShuttingDown, Errno.ESHUTDOWN, "the manager is being drained and takes no new sessions: use another one, or ask its operator to end the drain");

    private Reply Control(Connection connection, PolicyGrant policy)
    {
        connection.EnterControl();
        return Welcome(connection, WelcomeFlags.None, null, policy);
    }

    private Reply Device(Connection connection, HelloMessage hello, PolicyGrant policy)
    {
        SafeFile device = loop.HandOutDevice();
        connection.Greet(hello);
        return new Reply(Welcome(connection, WelcomeFlags.Device, null, policy), device);
    }

    private async Task<Reply> TakeAsync(
        Connection connection, HelloMessage hello, HelloFlags flags, ulong features, PolicyGrant policy, DescriptorSet descriptors)
    {
        if (!Userfaultfd.IsUserfaultfd(descriptors.Borrow(0)!))
        {
            services.Telemetry.ProtocolError(NativeFrontDoor.DoorName, ProtocolErrorReason.BadDescriptor);
            return Invalid("the descriptor is not a userfaultfd");
        }

        using PeerProcess? subject = Subject(connection, flags);
        if (subject is null)
            return NoSubject();
        ulong token = loop.Sessions.NewToken();
        OwnerRecord record = new()
        {
            ResumeToken = token,
            SourceOffset = policy.SourceOffset,
            RemoveMeansSource = policy.RemoveMeansSource,
            SourceIdentity = policy.SourceIdentity,
        };
        var request = new AttachRequest
        {
            Pid = subject.Pid,
            ProcessStartTime = subject.StartTime,
            PidFd = subject.TakePidFd(),
            Uffd = descriptors.Take<SafeUffd>(0),
            Tenant = connection.Tenant.Tenant,
            DefaultPolicy = policy.Policy,
            Label = hello.Label,
            RequestedFeatures = (UffdFeatures)features,
            ApiDone = (flags & HelloFlags.ApiDone) != HelloFlags.None,
            HasKeeper = (flags & HelloFlags.KeepsDescriptor) != HelloFlags.None,
            IsUserModeOnly = (flags & HelloFlags.UserModeOnly) != HelloFlags.None,
            Adopt = (flags & HelloFlags.Adopt) != HelloFlags.None,
            OwnerRecord = record.Encode(),
        };

        // The ranges of an adopted userfaultfd are read from smaps, which waits for a lock of the client's address space.
        AttachResult result = request.Adopt
            ? await await loop.Blocking.RunAsync(connection.Tenant.Name, () => services.Engine.AttachAsync(request))
            : await services.Engine.AttachAsync(request);
        if (result.Session is not { } session)
        {
            return Twin(result.Error, subject) is { } twin
                ? await ReboundAsync(connection, twin, policy)
                : Reply.Error(result.Error ?? new EngineError(EngineErrorKind.State, Errno.ESRCH, "the process has gone"));
        }

        SessionEntry entry = loop.Sessions.Add(session, token, connection.Tenant, policy);
        connection.Attach(entry);
        return Welcome(connection, WelcomeFlags.None, entry, policy);
    }

    private async Task<Reply> ForkChildAsync(Connection connection, HelloMessage hello)
    {
        // A token of another tenant is answered like one that does not exist.
        Session? child = services.Engine.FindForkedChild(hello.Token);
        if (child is null || child.Tenant.Name != connection.Tenant.Name)
            return Reply.Error(ErrorCode.NotFound, Errno.ENOENT, "no forked child is known by this token");

        // Without a name of its own the child goes on with the policy of its parent.
        Policy inherited = child.DefaultPolicy;
        PolicyDecision decision = services.Policies.Find(connection.Tenant, hello.Policy.Length > 0 ? hello.Policy : inherited.Name);
        if (!decision.IsGranted)
            return Reply.Error(ErrorCode.Policy, Errno.ENOENT, decision.Refusal);
        using PeerProcess? subject = Subject(connection, hello.Flags);
        if (subject is null)
            return NoSubject();

        bool keeper = (hello.Flags & HelloFlags.KeepsDescriptor) != HelloFlags.None;
        EngineResult result = await services.Engine.BindForkedChildAsync(child, subject.Pid, subject.StartTime, subject.TakePidFd(), keeper);
        if (result.Error is { } error)
            return Reply.Error(error);
        SessionEntry entry = loop.Sessions.Find(child) ?? loop.Sessions.Add(child, loop.Sessions.NewToken(), connection.Tenant, decision.Grant);

        // Before the child hears of its token: what it knows, the next manager must know too.
        await services.Engine.SetOwnerRecordAsync(child, entry.ToRecord().Encode());
        SafeUffd uffd;
        try
        {
            uffd = FaultEngine.DuplicateUffd(child);
        }
        catch (ObjectDisposedException)
        {
            return Reply.Error(ErrorCode.NotFound, Errno.ESRCH, "the process has gone");
        }

        connection.Attach(entry);
        return new Reply(Welcome(connection, WelcomeFlags.Uffd, entry, decision.Grant), uffd);
    }

    private async Task<Reply> ResumeAsync(Connection connection, HelloMessage hello, PolicyGrant policy, DescriptorSet descriptors)
    {
        using PeerProcess? subject = Subject(connection, hello.Flags);
        if (subject is null)
            return NoSubject();
        if (loop.Sessions.Find(hello.Token, subject) is { } entry)
        {
            return Resumed(connection, entry);
        }

        return (hello.Flags & HelloFlags.HasUffd) != HelloFlags.None
            ? await TakeAsync(connection, hello, hello.Flags, hello.RequestedFeatures, policy, descriptors)
            : Reply.Error(ErrorCode.NotFound, Errno.ENOENT, "no living session of this process is known by this token");
    }

    // A session that is still being adopted is not resumed: its client has yet to say again what its ranges are, and that it has said everything.
    private Reply Resumed(Connection connection, SessionEntry entry)
    {
        connection.Attach(entry);
        WelcomeFlags flags = entry.Session.State == SessionState.Serving ? WelcomeFlags.Resumed : WelcomeFlags.None;
        return Welcome(connection, flags, entry, entry.DefaultPolicy);
    }

    private async Task<Reply> ReboundAsync(Connection connection, Session session, PolicyGrant policy)
    {
        SessionEntry entry = loop.Sessions.Find(session) ?? loop.Sessions.Add(session, loop.Sessions.NewToken(), connection.Tenant, policy);
        await services.Engine.SetOwnerRecordAsync(session, entry.ToRecord().Encode());
        return Resumed(connection, entry);
    }

    // A client that has shown its userfaultfd before, and whose answer was lost with the manager of that time, shows it again without a token that is known.
    private Session? Twin(EngineError? error, PeerProcess subject) =>
        error is { Kind: EngineErrorKind.Conflict, Holder: { Length: 0, SessionId: not 0 } holder }
        && services.Engine.FindSession(holder.SessionId) is { } session
        && session.Pid == subject.Pid
        && session.ProcessStartTime == subject.StartTime
        && session.State is (SessionState.Adopting or SessionState.Serving)
            ? session
            : null;

    private static PeerProcess? Subject(Connection connection, HelloFlags flags) =>
        (flags & HelloFlags.SubjectIsParent) != HelloFlags.None ? connection.Peer.TryIdentifyParent() : connection.Peer.Duplicate();

    private static Reply NoSubject() =>
        Reply.Error(ErrorCode.RefusedPeer, Errno.EACCES, "the parent of the peer cannot be identified, or has another uid");

    private WelcomeMessage Welcome(Connection connection, WelcomeFlags flags, SessionEntry? entry, PolicyGrant policy) => new(
        ProtocolLimits.Version,
        flags,
        (uint)Environment.SystemPageSize,
        (ulong)(entry?.Session.Id ?? 0),
        entry?.ResumeToken ?? 0,
        (ulong)(entry?.Session.Features ?? UffdFeatures.None),
        (ulong)services.Engine.KernelFeatures,
        (ulong)connection.Tenant.Tenant.Limits.RegisteredBytes,
        (uint)connection.Tenant.Tenant.Limits.Regions,
        connection.Tenant.Name,
        policy.Policy.Name);
}
