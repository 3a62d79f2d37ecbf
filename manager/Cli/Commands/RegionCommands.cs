using System.CommandLine;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl region</c>: list, show.</summary>
internal static class RegionCommands
{
    private const int DefaultCells = 1024;

    // Bound of the control API.
    private const int MostCells = 4096;

    public static Command Create() => new("region", "Regions: registered ranges of memory.") { List(), Show() };

    private static Command List()
    {
        Option<long?> session = new Option<long?>("--session")
        {
            Description = "Only regions of this session.",
            HelpName = "ID",
            CustomParser = NumberArgument.OptionalParser(0, long.MaxValue),
        }
            .Completed(ValueKind.Session);
        Option<string?> tenant = Options.Tenant("Only regions of this tenant.");
        Command command = new("list", "List the regions.") { session, tenant };
        command.Validators.Add(line =>
        {
            if (line.GetResult(session) is not null && line.GetResult(tenant) is not null)
                line.AddError("--session and --tenant exclude each other: a session has one tenant.");
        });
        return command.GetsPages(
            context => context.Line.GetValue(session) is { } id
                ? new Query("sessions", id.ToString(), "regions")
                : new Query("regions").With("tenant", context.Line.GetValue(tenant)),
            "regions", Documents.Types.RegionListDto, page => page.Next, pages => Table(pages.SelectMany(page => page.Regions)));
    }

    private static Table Table(IEnumerable<RegionDto> regions)
    {
        Table table = new(
            new("SESSION", Right: true), new("START", Right: true), new("LENGTH", Right: true), new("PAGE", 3, Right: true), new("MODES", 2),
            new("POLICY", Shrink: 6), new("FLAGS", 4), new("OFFSET", 5, Right: true), new("SOURCE", 1, Shrink: 8));
        foreach (RegionDto region in regions)
        {
            table.Add(
                region.Session, region.Start, Units.Bytes(region.Length), Units.Bytes(region.PageBytes), Words.Packed(region.Modes), region.Policy,
                Words.Packed(region.Flags), Units.Address((ulong)region.SourceOffset), region.Source);
        }

        return table;
    }

    private static Command Show()
    {
        Argument<long> session = Options.Session("session");
        Argument<string> address = new Argument<string>("address") { Description = "An address in the region, like 0x7f0000000000.", HelpName = "ADDRESS" }
            .Completed(ValueKind.Region);
        address.Validators.Add(result =>
        {
            string text = result.GetValueOrDefault<string>();
            if (!AddressArgument.TryParse(text, out _))
                result.AddError($"'{text}' is not an address: 0x and hexadecimal digits, or decimal digits.");
        });
        Option<long?> cells = new("--cells")
        {
            Description = $"Parts that the map of the region has, 1 to {MostCells}. Default: {DefaultCells}.",
            HelpName = "N",
            CustomParser = NumberArgument.OptionalParser(1, MostCells),
        };
        return new Command("show", "Draw a map of a region's pages.") { session, address, cells }.Gets(
            context =>
            {
                _ = AddressArgument.TryParse(context.Line.GetRequiredValue(address), out ulong start);
                return new Query("sessions", context.Line.GetValue(session).ToString(), "regions", Units.Address(start), "map")
                    .With("cells", (context.Line.GetValue(cells) ?? DefaultCells).ToString());
            },
            Documents.Types.RegionMapDto,
            (context, map) => context.Terminal.WriteLines(new RegionMap(map).Render(context.Terminal.Width, context.Palette)));
    }
}
