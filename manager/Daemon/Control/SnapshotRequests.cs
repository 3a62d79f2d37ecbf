using UffdManager.Control;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>Reads what a request says of a snapshot, by the rules that the configuration has for the same.</summary>
internal static class SnapshotRequests
{
    private const double ShortestTimeout = 0.1;
    private const double LongestTimeout = 60;
    private const long MostVms = 1 << 20;
    private const int MostMatches = 1024;

    /// <summary>Makes options of a request.</summary>
    /// <exception cref="ProblemException">A field is missing or wrong.</exception>
    public static SnapshotOptions Read(SnapshotDefinitionDto request, string? nativeSocket, string? controlSocket)
    {
        if (request.Name is { } name && !ConfigurationRules.IsName(name))
            throw Bad("name", $"\"{name}\" is not a usable name", "allowed are 1 to 64 of the characters a-z, A-Z, 0-9, - and _");
        string socket = Required("socket", request.Socket);
        if (socket[0] != '/' || socket.Contains('\0', StringComparison.Ordinal))
            throw Bad("socket", $"\"{socket}\" is no absolute path", "begin it with /");
        if (socket.EndsWith(UnixSocket.ReservedEnd, StringComparison.Ordinal))
            throw Bad("socket", $"\"{socket}\" ends in {UnixSocket.ReservedEnd}: another socket may be made under that name", "give it another name");
        if (socket == nativeSocket || socket == controlSocket)
            throw Bad("socket", $"{socket} is a socket of the daemon for something else", "choose another path");
        (uint? Uid, uint? Gid) owner = default;
        if (request.Owner is { } text && !AccountNames.TryFindOwner(text, out owner, out string? problem))
            throw Bad("owner", $"\"{text}\" is not allowed; {problem}", "write USER:GROUP, USER or :GROUP, with names of this host or numbers");
        double timeout = request.TimeoutSeconds ?? 10;
        if (timeout is not (>= ShortestTimeout and <= LongestTimeout))
            throw Bad("timeoutSeconds", $"{timeout} is not allowed", $"allowed is a number from {ShortestTimeout} to {LongestTimeout}");
        long most = request.MaxVms ?? 0;
        if (most is < 0 or > MostVms)
            throw Bad("maxVms", $"{most} is not allowed", $"allowed is a whole number from 0 to {MostVms}");
        string protocol = request.Protocol ?? SnapshotSocketOptions.DefaultProtocol;
        return new SnapshotOptions
        {
            Image = Required("image", request.Image),
            Tenant = Required("tenant", request.Tenant),
            Policy = request.Policy ?? "",
            Socket = new SnapshotSocketOptions
            {
                Path = socket,
                Protocol = HandOverDecoders.BuiltIn.Find(protocol) ?? throw Bad("protocol", $"\"{protocol}\" is not known", $"known are: {string.Join(", ", HandOverDecoders.BuiltIn.Names)}"),
                Uid = owner.Uid,
                Gid = owner.Gid,
                Mode = SettingText.ParseMode(request.Mode ?? "0660") ?? throw Bad("mode", $"\"{request.Mode}\" is not allowed", "allowed are octal permission bits from 0000 to 0777"),
                Timeout = TimeSpan.FromSeconds(timeout),
            },
            Match = Match(request.Match ?? new SnapshotMatchDto()),
            MaxVms = (int)most,
        };
    }

    private static SnapshotMatchOptions Match(SnapshotMatchDto match)
    {
        if ((match.Uids?.Count ?? 0) + (match.Cgroups?.Count ?? 0) + (match.Pids?.Count ?? 0) > MostMatches)
            throw Bad("match", $"more than {MostMatches} are named", "serve another snapshot for the rest");
        return new SnapshotMatchOptions
        {
            Uids = [.. (match.Uids ?? []).Select(uid => uid is >= 0 and < uint.MaxValue
                ? (uint)uid
                : throw Bad("match.uids", $"{uid} is no user id", "allowed are ids from 0 to 4294967294"))],
            Cgroups = [.. (match.Cgroups ?? []).Select(cgroup => cgroup is not null && cgroup.StartsWith('/')
                ? cgroup
                : throw Bad("match.cgroups", $"\"{cgroup}\" is no absolute path", "begin it with /"))],
            Processes = [.. (match.Pids ?? []).Select(Process)],
        };
    }

    // Its number alone could be another process's by the time that it connects.
    private static SnapshotProcess Process(long pid) => pid is > 0 and <= int.MaxValue && ProcessInfo.TryReadStartTime((int)pid, out ulong startTime)
        ? new SnapshotProcess((int)pid, startTime)
        : throw Bad("match.pids", $"there is no process {pid}", "start the VMM before its snapshot is served");

    private static string Required(string field, string? value) =>
        string.IsNullOrEmpty(value) ? throw Bad(field, "it is required", "docs/CONTROL-API.md has the fields") : value;

    private static ProblemException Bad(string field, string what, string remedy) => new(ProblemKind.BadRequest, $"{field}: {what}", remedy);
}
