using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Hosting;
using Xunit;

namespace UffdManager.Daemon.Tests.Hosting;

public sealed class LogRingTests
{
    [Fact]
    public void Ring_keeps_the_last_lines()
    {
        LogRing ring = new();
        for (int i = 0; i < LogRing.MaximumLines + 5; i++)
            ring.Add($"{i}");
        IReadOnlyList<string> lines = ring.Lines();
        Assert.Equal((LogRing.MaximumLines, "5", $"{LogRing.MaximumLines + 4}"), (lines.Count, lines[0], lines[^1]));
    }

    [Fact]
    public void Long_lines_are_cut_and_cannot_fill_the_memory()
    {
        LogRing ring = new();
        for (int i = 0; i < LogRing.MaximumLines; i++)
            ring.Add(new string('x', LogRing.LongestLine * 2));
        IReadOnlyList<string> lines = ring.Lines();
        Assert.All(lines, line => Assert.Equal(LogRing.LongestLine + 1, line.Length));
        Assert.InRange(lines.Sum(line => line.Length), LogRing.MaximumCharacters / 2, LogRing.MaximumCharacters);
    }

    [Fact]
    public void Entry_is_one_line_with_time_level_category_and_cause()
    {
        LogRing ring = new();
        using LogRingProvider provider = new(ring, new ManualTime());
        provider.CreateLogger("UffdManager.X").Log(LogLevel.Warning, new EventId(7), "two\nlines", new InvalidOperationException("why"), (state, _) => state);
        string line = Assert.Single(ring.Lines());
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z Warning: UffdManager\.X\[7\] two \| lines .*InvalidOperationException: why", line);
        Assert.DoesNotContain('\n', line);
    }
}
