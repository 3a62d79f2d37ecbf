using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Hosting;
using Xunit;

namespace UffdManager.Daemon.Tests.Hosting;

public sealed class LogLevelSwitchTests
{
    [Fact]
    public void Longest_category_that_fits_decides()
    {
        LogLevelSwitch levels = new(LogLevel.Information);
        Assert.True(levels.TryChange([new("UffdManager.Daemon", LogLevel.Error), new("UffdManager.Daemon.Control", LogLevel.Trace)], limit: 64));
        Assert.True(levels.Allows("UffdManager.Daemon.Control.ControlRouter", LogLevel.Trace));
        Assert.False(levels.Allows("UffdManager.Daemon.Hosting.ReloadService", LogLevel.Warning));
        Assert.False(levels.Allows("UffdManager.DaemonX", LogLevel.Debug));
        Assert.True(levels.Allows("UffdManager.DaemonX", LogLevel.Information));
    }

    [Fact]
    public void Category_may_speak_of_a_framework_without_debugging_everything()
    {
        LogLevelSwitch levels = new(LogLevel.Information);
        Assert.False(levels.Allows("Microsoft.AspNetCore.Server.Kestrel", LogLevel.Debug));
        Assert.True(levels.TryChange([new("Microsoft.AspNetCore", LogLevel.Debug)], limit: 64));
        Assert.True(levels.Allows("Microsoft.AspNetCore.Server.Kestrel", LogLevel.Debug));
        Assert.True(levels.TryChange([new("Microsoft.AspNetCore", null)], limit: 64));
        Assert.False(levels.Allows("Microsoft.AspNetCore.Server.Kestrel", LogLevel.Debug));
    }

    [Fact]
    public void Change_that_would_be_too_much_changes_nothing()
    {
        LogLevelSwitch levels = new(LogLevel.Information);
        Assert.True(levels.TryChange([new("A", LogLevel.Debug)], limit: 2));
        Assert.False(levels.TryChange([new("A", LogLevel.Error), new("B", LogLevel.Debug), new("C", LogLevel.Debug)], limit: 2));
        Assert.Equal([new KeyValuePair<string, LogLevel>("A", LogLevel.Debug)], levels.Categories);
    }

    [Fact]
    public void Reload_brings_back_what_the_configuration_says()
    {
        LogLevelSwitch levels = new(LogLevel.Information) { Level = LogLevel.Trace };
        Assert.True(levels.TryChange([new("A", LogLevel.Debug)], limit: 2));
        levels.Configure(LogLevel.Warning);
        Assert.Equal((LogLevel.Warning, LogLevel.Warning, 0), (levels.Level, levels.Configured, levels.Categories.Count));
    }
}
