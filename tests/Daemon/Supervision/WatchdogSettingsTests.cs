using UffdManager.Daemon.Supervision;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

public sealed class WatchdogSettingsTests
{
    [Theory]
    [InlineData(null, null, null)]
    [InlineData("", "", null)]
    [InlineData("30000000", null, 30_000_000L)]
    [InlineData("30000000", "", 30_000_000L)]
    [InlineData("1500000", "42", 1_500_000L)]
    [InlineData("30000000", "43", null)]
    public void Watch_is_meant_for_the_process_that_it_names(string? time, string? pid, long? microseconds)
    {
        WatchdogSettings settings = WatchdogSettings.Parse(time, pid, ownPid: 42);
        Assert.Equal(microseconds, (long?)settings.Timeout?.TotalMicroseconds);
        Assert.Null(settings.Problem);
    }

    [Theory]
    [InlineData("0")]
    [InlineData("-5")]
    [InlineData("30s")]
    [InlineData("99999999999999999999")]
    public void Time_without_sense_is_named_and_not_served(string time)
    {
        WatchdogSettings settings = WatchdogSettings.Parse(time, "42", ownPid: 42);
        Assert.Null(settings.Timeout);
        Assert.Contains(time, settings.Problem, StringComparison.Ordinal);
    }
}
