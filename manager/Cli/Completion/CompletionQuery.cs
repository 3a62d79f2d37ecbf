using System.CommandLine;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Completion;

/// <summary>
/// <c>uffdctl __complete</c>, which completion scripts call: values and descriptions, one a line with a tab between them. Whoever presses Tab waits for it, so it
/// gives up soon, and whatever goes wrong it is silent.
/// </summary>
internal static class CompletionQuery
{
    private const string Most = "1000";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    /// <summary>What the command is called with for a kind of value.</summary>
    public static string NameOf(ValueKind kind) => kind switch
    {
        ValueKind.Session => "sessions",
        ValueKind.Region => "regions",
        ValueKind.Tenant => "tenants",
        ValueKind.Policy => "policies",
        ValueKind.Image => "images",
        ValueKind.Snapshot => "snapshots",
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };

    public static Command Create()
    {
        Argument<string> kind = new("kind");
        Argument<string?> session = new("session") { Arity = ArgumentArity.ZeroOrOne };
        Command command = new("__complete") { kind, session };
        command.Hidden = true;
        command.SetWork(async (context, cancel) =>
        {
            try
            {
                using ControlClient client = new(context.Socket, s_patience);
                foreach ((string value, string description) in await AskAsync(client, context.Line.GetValue(kind), context.Line.GetValue(session), cancel))
                    context.Print($"{Text.Clean(value)}\t{Text.Clean(description)}");
            }
            catch (CommandException)
            {
                // Then there is nothing to propose.
            }

            return ExitCode.Ok;
        });
        return command;
    }

    private static async Task<IEnumerable<(string Value, string Description)>> AskAsync(
        ControlClient client, string? kind, string? session, CancellationToken cancel)
    {
        switch (kind)
        {
            case "sessions":
                SessionListDto sessions = (await client.GetAsync(
                    new Query("sessions").With("limit", Most).ToString(), Documents.Types.SessionListDto, cancel)).Value;
                return sessions.Sessions.Select(s => (s.Id.ToString(), $"{s.Command ?? "?"} ({s.Pid}) of {s.Tenant}"));
            case "tenants":
                TenantListDto tenants = (await client.GetAsync("v1/tenants", Documents.Types.TenantListDto, cancel)).Value;
                return tenants.Tenants.Select(tenant => (tenant.Name, $"{tenant.Usage.Sessions} sessions"));
            case "policies":
                PolicyListDto policies = (await client.GetAsync("v1/policies", Documents.Types.PolicyListDto, cancel)).Value;
                return policies.Policies.Select(policy => (policy.Name, $"source {policy.Source.Kind}"));
            case "images":
                ImageListDto images = (await client.GetAsync("v1/images", Documents.Types.ImageListDto, cancel)).Value;
                return images.Images.Select(image => (image.Name, $"{Units.Bytes(image.Bytes)}, {image.State}"));
            case "snapshots":
                SnapshotListDto snapshots = (await client.GetAsync("v1/snapshots", Documents.Types.SnapshotListDto, cancel)).Value;
                return snapshots.Snapshots.Select(snapshot => (snapshot.Name, $"{snapshot.Image} at {snapshot.Socket}"));
            case "regions" when session is not null:
                RegionListDto regions = (await client.GetAsync(
                    new Query("sessions", session, "regions").With("limit", Most).ToString(), Documents.Types.RegionListDto, cancel)).Value;
                return regions.Regions.Select(region => (region.Start, $"{Units.Bytes(region.Length)} of {region.Source}"));
            default:
                return [];
        }
    }
}
