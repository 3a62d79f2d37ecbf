using System.CommandLine;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl policy</c>: list, show.</summary>
internal static class PolicyCommands
{
    public static Command Create() => new("policy", "Policies: where contents come from, and what happens when they do not come.") { List(), Show() };

    private static Command List() => Lookup.List("List the policies.", "policies", Documents.Types.PolicyListDto, list => Table(list.Policies));

    private static Table Table(IEnumerable<PolicyDto> policies)
    {
        Table table = new(
            new("NAME", Shrink: 8), new("VERSION", 4, Right: true), new("SOURCE"), new("AROUND", 3, Right: true), new("UNAVAILABLE", 1),
            new("DEADLINE", 2, Right: true), new("REMOVED", 5), new("PREFETCH", 6), new("SESSIONS", Right: true), new("PATH", 2, Shrink: 8));
        foreach (PolicyDto policy in policies)
        {
            table.Add(
                policy.Name, policy.Version, policy.Source.Kind, Units.Bytes(policy.FaultAroundBytes), policy.OnUnavailable,
                Units.Time(policy.DeadlineSeconds * 1e9), policy.RemoveMeans, policy.Prefetch.Mode, policy.Sessions, policy.Source.Path ?? policy.Source.Image);
        }

        return table;
    }

    private static Command Show()
    {
        Argument<string> name = new Argument<string>("name") { Description = "Name of the policy.", HelpName = "NAME" }.Completed(ValueKind.Policy);
        return Lookup.Show("Show everything about a policy.", name, "policies", Documents.Types.PolicyDto, (context, policy) => context.Print(Facts(policy)));
    }

    private static Facts Facts(PolicyDto policy)
    {
        Facts facts = new();
        facts.Add("Policy", $"{policy.Name}, version {policy.Version}");
        facts.Add("Source", policy.Source.Kind);
        facts.AddIf(policy.Source.Path is not null, "Path", policy.Source.Path);
        facts.AddIf(policy.Source.Image is not null, "Image", policy.Source.Image);
        facts.AddIf(policy.Source.Path is not null || policy.Source.Image is not null, "Offset", Units.Address((ulong)policy.Source.Offset));
        facts.Add("Fault-around", policy.FaultAroundBytes == 0 ? "none: the page alone" : Units.Bytes(policy.FaultAroundBytes));
        facts.Add("On unavailable", policy.OnUnavailable);
        facts.Add("Deadline", Units.Time(policy.DeadlineSeconds * 1e9));
        facts.Add("Retry backoff", Units.Time(policy.RetryBackoffSeconds * 1e9));
        facts.Add("Busy poll", policy.BusyPollSeconds == 0 ? "no" : Units.Time(policy.BusyPollSeconds * 1e9));
        facts.Add("Prefetch", policy.Prefetch.Mode);
        if (policy.Prefetch.Mode is "replay" or "replayThenFull")
        {
            facts.Add(
                "Replay",
                $"at most {Units.Bytes(policy.Prefetch.MaxBytes)}, {Units.Time(policy.Prefetch.MaxTimeSeconds * 1e9)}, {policy.Prefetch.MaxPagesInFlight} pages at a time");
            facts.Add("Recorded for", Units.Time(policy.Prefetch.RecordTimeSeconds * 1e9));
        }

        facts.Add("Remove means", policy.RemoveMeans);
        facts.Add("Sessions", policy.Sessions);
        return facts;
    }
}
