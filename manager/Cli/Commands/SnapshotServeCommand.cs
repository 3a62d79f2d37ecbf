using System.CommandLine;
using System.Net.Http.Headers;
using System.Text.Json;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl snapshot serve</c>: one more snapshot at a socket.</summary>
internal static class SnapshotServeCommand
{
    private const long MostVms = 1 << 20;
    private const long HighestId = uint.MaxValue - 1L;

    public static Command Create()
    {
        Option<string> image = new("--image")
        {
            Description = "Memory file of the snapshot, below one of the tenant's source directories, or the name of an image that it may use.",
            HelpName = "FILE",
            Required = true,
        };
        Option<string> tenant = new Option<string>("--tenant") { Description = "Tenant that the VMs are accounted to.", HelpName = "NAME", Required = true }.Completed(ValueKind.Tenant);
        Option<string> socket = new Option<string>("--socket")
        {
            Description = "Path of the socket that the VMM gets as backend_path; may be there already, with other snapshots. The control socket is named before the command, or by the environment.",
            HelpName = "PATH",
            Required = true,
        }.Completed(ValueKind.File);
        Option<string?> name = new("--name") { Description = "Name of the snapshot. Default: one that is free.", HelpName = "NAME" };
        Option<string?> policy = new Option<string?>("--policy") { Description = "Policy of the VMs' memory. Default: the tenant's.", HelpName = "NAME" }.Completed(ValueKind.Policy);
        Option<string?> protocol = new("--protocol") { Description = "Protocol by which VMMs hand memory over at the socket. Default: firecracker.", HelpName = "NAME" };
        Option<string?> owner = new("--owner") { Description = "Who owns the socket: USER:GROUP, USER or :GROUP, as names or numbers. Default: the daemon.", HelpName = "USER:GROUP" };
        Option<string?> mode = new("--mode") { Description = "Permission bits of the socket. Default: 0660.", HelpName = "MODE" };
        Option<TimeSpan?> timeout = new("--timeout")
        {
            Description = "Time from a connection to the end of its message. Default: 10s.",
            HelpName = "DURATION",
            CustomParser = result => DurationArgument.Parse(result),
        };
        Option<long?> most = new("--max-vms")
        {
            Description = "VMs that may live at a time. Default: as many as the tenant may have.",
            HelpName = "NUMBER",
            CustomParser = NumberArgument.OptionalParser(1, MostVms),
        };
        Option<long[]> uid = Ids("--uid", "Only for VMs of this user; may be given several times.", "UID", HighestId);
        Option<long[]> pid = Ids("--pid", "Only for this process, before it connects; may be given several times.", "PID", int.MaxValue);
        Option<string[]> cgroup = new("--cgroup") { Description = "Only for VMs in this cgroup, or below it; may be given several times.", HelpName = "PATH" };
        Command command = new("serve", "Serve a snapshot's memory to microVMs at a socket, until it is stopped.")
        {
            image, tenant, socket, name, policy, protocol, owner, mode, timeout, most, uid, pid, cgroup,
        };
        command.SetWork(async (context, cancel) =>
        {
            SnapshotDefinitionDto request = new()
            {
                Name = context.Line.GetValue(name),
                Image = context.Line.GetRequiredValue(image),
                Tenant = context.Line.GetRequiredValue(tenant),
                Policy = context.Line.GetValue(policy),
                Socket = Path.GetFullPath(context.Line.GetRequiredValue(socket)),
                Protocol = context.Line.GetValue(protocol),
                Owner = context.Line.GetValue(owner),
                Mode = context.Line.GetValue(mode),
                TimeoutSeconds = context.Line.GetValue(timeout)?.TotalSeconds,
                MaxVms = context.Line.GetValue(most),
                Match = new SnapshotMatchDto
                {
                    Uids = context.Line.GetValue(uid),
                    Cgroups = context.Line.GetValue(cgroup),
                    Pids = context.Line.GetValue(pid),
                },
            };
            using ByteArrayContent body = new(JsonSerializer.SerializeToUtf8Bytes(request, Documents.Types.SnapshotDefinitionDto));
            body.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            Answer<SnapshotDto> answer = await context.Client.SendAsync(HttpMethod.Post, "v1/snapshots", body, Documents.Types.SnapshotDto, cancel);
            if (context.Json)
                context.PrintDocument(answer.Document);
            else
                context.Print($"Snapshot {Text.Clean(answer.Value.Name)} is served at {Text.Clean(answer.Value.Socket)}");
            return ExitCode.Ok;
        });
        return command;
    }

    private static Option<long[]> Ids(string option, string description, string name, long highest) => new(option)
    {
        Description = description,
        HelpName = name,
        CustomParser = NumberArgument.ManyParser(0, highest),
    };
}
