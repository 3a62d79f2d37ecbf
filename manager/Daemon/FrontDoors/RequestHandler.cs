using UffdManager.Daemon.Hosting;
using UffdManager.Engine;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// One method for each request of the protocol. Runs on the front door's thread; what may wait for a file system or a foreign lock is done
/// elsewhere (<see cref="BlockingWork"/>), and everything behind an <c>await</c> is back on the front door's thread.
/// </summary>
internal sealed partial class RequestHandler(DoorServices services, DoorLoop loop)
{
    private long _lastRegion;

    /// <summary>Carries a request out.</summary>
    /// <param name="connection">Who asks; may be closed by the time the answer is there.</param>
    /// <param name="message">What.</param>
    /// <param name="descriptors">What came with it; the caller closes what is left in it.</param>
    public Task<Reply> HandleAsync(Connection connection, Message message, DescriptorSet descriptors)
    {
        if (message is HelloMessage hello && connection.State == ConnectionState.New)
            return HelloAsync(connection, hello, descriptors);
        if (message is AttachMessage attach && connection.State == ConnectionState.Greeted)
            return AttachAsync(connection, attach, descriptors);
        if (message is StatusMessage && connection.State == ConnectionState.Control)
            return Task.FromResult<Reply>(TenantStatus(connection));
        if (connection.State != ConnectionState.Attached || connection.Entry is not { } entry)
            return Task.FromResult(WrongState(connection, message));
        return message switch
        {
            RegisterMessage register => RegisterAsync(entry, register, descriptors),
            UnregisterMessage range => OnRangeAsync(range.Start, range.Length, () => services.Engine.UnregisterAsync(entry.Session, range.Start, range.Length)),
            MapMessage map => MapAsync(entry, map, descriptors),
            PrefetchMessage range => OnRangeAsync(range.Start, range.Length, () => services.Engine.PrefetchAsync(entry.Session, range.Start, range.Length)),
            WakeMessage { Start: 0, Length: 0 } => DoneAsync(services.Engine.WakeAsync(entry.Session, 0, 0)),
            WakeMessage range => OnRangeAsync(range.Start, range.Length, () => services.Engine.WakeAsync(entry.Session, range.Start, range.Length)),
            WriteProtectMessage range => OnRangeAsync(
                range.Start, range.Length, () => services.Engine.WriteProtectAsync(entry.Session, range.Start, range.Length, range.Protect)),
            StatusMessage => SessionStatusAsync(entry),
            ByeMessage => ByeAsync(entry),
            _ => Task.FromResult(WrongState(connection, message)),
        };
    }

    private static async Task<Reply> DoneAsync(Task<EngineResult> command)
    {
        EngineResult result = await command;
        return result.Error is { } error ? Reply.Error(error) : new DoneMessage(result.Value);
    }

    private static Task<Reply> OnRangeAsync(ulong start, ulong length, Func<Task<EngineResult>> command) =>
        length == 0 || start > ulong.MaxValue - length
            ? Task.FromResult(Invalid($"0x{start:x}+0x{length:x} is not a range"))
            : DoneAsync(command());

    private static Reply Invalid(string text) => Reply.Error(ErrorCode.Protocol, Errno.EINVAL, text);

    private Reply WrongState(Connection connection, Message message)
    {
        services.Telemetry.ProtocolError(NativeFrontDoor.DoorName, ProtocolErrorReason.BadState);
        return Reply.Error(ErrorCode.State, Errno.EINVAL, $"{message.Type} is not possible in state {connection.State}");
    }

    private async Task<Reply> ByeAsync(SessionEntry entry)
    {
        EngineResult result = await services.Engine.EndAsync(entry.Session, EndMode.Bye);
        if (result.Error is { } error)
            return Reply.Error(error);
        loop.Sessions.Remove(entry);
        return Reply.Done with { ThenClose = true };
    }

    private async Task<Reply> SessionStatusAsync(SessionEntry entry)
    {
        SessionStatus status = await services.Engine.StatusAsync(entry.Session);
        string state = entry.Session.State switch
        {
            SessionState.Adopting => "adopting",
            SessionState.Serving => "active",
            _ => "ending",
        };
        Telemetry.ServiceTimes times = services.ServiceTimes.Read(entry.Tenant.Name);
        return new StatusReplyMessage(
            (ulong)status.Session.Id,
            (ulong)status.UptimeNanoseconds,
            (ulong)status.Regions,
            status.RegisteredBytes,
            (ulong)Math.Max(0, status.ResidentBytes),
            (ulong)status.Faults,
            (ulong)status.CopiedBytes,
            (ulong)status.ZeroedBytes,
            (ulong)status.Deferrals,
            (ulong)status.PoisonedPages,
            (ulong)status.PagesInFlight,
            (ulong)times.P50,
            (ulong)times.P90,
            (ulong)times.P99,
            (ulong)times.P999,
            entry.Tenant.Name,
            entry.DefaultPolicy.Policy.Name,
            state);
    }

    private StatusReplyMessage TenantStatus(Connection connection)
    {
        string tenant = connection.Tenant.Name;
        TenantSnapshot? counted = services.Engine.Counters().FirstOrDefault(snapshot => snapshot.Tenant == tenant);
        Telemetry.ServiceTimes times = services.ServiceTimes.Read(tenant);
        return new StatusReplyMessage(
            0,
            0,
            (ulong)(counted?.Regions ?? 0),
            (ulong)(counted?.RegisteredBytes ?? 0),
            (ulong)Math.Max(0, counted?.ResidentBytes ?? 0),
            (ulong)(counted is null ? 0 : Faults(counted)),
            (ulong)(counted?.CopiedBytes ?? 0),
            (ulong)(counted?.ZeroedBytes ?? 0),
            (ulong)(counted is null ? 0 : Enum.GetValues<DeferralReason>().Sum(counted.Deferrals)),
            (ulong)(counted?.PoisonedPages ?? 0),
            (ulong)(counted?.PagesInFlight ?? 0),
            (ulong)times.P50,
            (ulong)times.P90,
            (ulong)times.P99,
            (ulong)times.P999,
            tenant,
            PolicyName(connection),
            "control");
    }

    private static long Faults(TenantSnapshot counted) =>
        Enum.GetValues<FaultKind>().Sum(kind => Enum.GetValues<FaultOutcome>().Sum(outcome => counted.Faults(kind, outcome)));

    private string PolicyName(Connection connection) =>
        services.Policies.Find(connection.Tenant, "") is { IsGranted: true } decision ? decision.Grant.Policy.Name : "";
}
