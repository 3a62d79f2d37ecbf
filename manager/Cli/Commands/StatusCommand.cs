using System.CommandLine;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl status</c>: is all well, in one screen.</summary>
internal static class StatusCommand
{
    public static Command Create()
    {
        Command command = new("status", "Say whether the manager is well, and what it serves.");
        command.SetWork(async (context, cancel) =>
        {
            Answer<StatusDto> answer = await context.Client.GetAsync("v1/status", Documents.Types.StatusDto, cancel);
            if (context.Json)
                context.PrintDocument(answer.Document);
            else
                Print(context, answer.Value);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Print(CommandContext context, StatusDto status)
    {
        TotalsDto totals = status.Totals;
        Facts facts = new();
        facts.Add("Manager", $"{status.Version}, process {status.Pid}, up {Units.Age(status.UptimeSeconds * 1e9)}");
        facts.Add("Phase", Words.Phase(status.Phase));
        foreach (string complaint in status.Complaints)
            facts.Add("Complaint", new Cell(Text.Clean(complaint), Style.Bad));
        if (status.Drain is { } drain)
            facts.Add("Draining", new Cell(Text.Clean($"since {drain.Since} by {drain.By}, {drain.Sessions} sessions left"), Style.Warning));
        if (status.Restored is { } restored)
            AddRestored(facts, restored);
        facts.Add("Sessions", status.DescriptorStore.Kept
            ? $"{totals.Sessions}, kept for a successor"
            : new Cell($"{totals.Sessions}, not kept for a successor: nothing holds their descriptors (systemd, uffd-supervise)", Style.Warning));
        facts.Add("Regions", $"{totals.Regions} with {Units.Bytes(totals.RegisteredBytes)}, {Units.Bytes(totals.ResidentBytes)} resident");
        facts.Add("Faults", $"{Units.Count(totals.Faults)}, {Words.Latency(totals.Latency)}");
        facts.Add("Installed", $"{Units.Bytes(totals.CopiedBytes)} copied, {Units.Bytes(totals.ZeroedBytes)} zeros");
        facts.Add("Fetching", $"{totals.PagesInFlight} pages in {totals.Fetches} reads, {totals.FetchesWaiting} of them waiting for a thread");
        facts.AddIf(totals.PoisonedPages > 0, "Poisoned", new Cell($"{totals.PoisonedPages} pages", Style.Bad));
        facts.AddIf(totals.KilledClients > 0, "Killed", new Cell($"{totals.KilledClients} clients whose pages could not be had", Style.Bad));
        facts.Add("Page tables", Units.Bytes(totals.PageTableBytes));
        facts.Add("Kernel", status.Kernel.Release);
        foreach (SocketDto socket in status.Sockets)
            facts.Add($"Socket {Text.Clean(socket.Name)}", socket.Inherited ? $"{socket.Address} (from the service manager)" : socket.Address);
        foreach (string loss in status.Losses)
            facts.Add("Lacking", new Cell(Text.Clean(loss), Style.Warning));
        context.Print(facts);

        Table loops = new(
            new("LOOP", Right: true), new("SESSIONS", Right: true), new("BUSY", Right: true), new("WAKEUPS/S", Right: true),
            new("TABLES", Right: true), new("DROPPED", 1, Right: true));
        foreach (LoopDto loop in status.Loops)
        {
            loops.Add(loop.Index, loop.Sessions, Units.Percent(loop.BusyRatio, 1), Units.Rate(loop.WakeupsPerSecond), Units.Bytes(loop.PageTableBytes),
                loop.SamplesDropped);
        }

        context.Print("");
        context.Print(loops);
    }

    private static void AddRestored(Facts facts, RestoredDto restored)
    {
        facts.Add("Taken over", $"{restored.Sessions} sessions in {Units.Time(restored.Seconds * 1e9)}, {restored.Gone} had ended meanwhile");
        foreach (RestoreFailureDto failure in restored.Failures)
        {
            string end = failure.Killed ? "its process was killed" : "its process was not killed";
            facts.Add("Not restored", new Cell(Text.Clean($"session {failure.Session} (process {failure.Pid}): {failure.Reason}; {end}"), Style.Bad));
        }
    }
}
