using UffdManager.Daemon.Configuration;
using Xunit;

namespace UffdManager.Daemon.Tests.Configuration;

public sealed class SettingTextTests
{
    [Theory]
    [InlineData("0", 0L)]
    [InlineData("4096", 4096L)]
    [InlineData("4096B", 4096L)]
    [InlineData("64KiB", 65536L)]
    [InlineData("64 MiB", 67108864L)]
    [InlineData("1TiB", 1099511627776L)]
    public void Size_is_read_with_and_without_a_unit(string text, long bytes) => Assert.Equal(bytes, SettingText.ParseSize(text));

    [Theory]
    [InlineData("")]
    [InlineData("KiB")]
    [InlineData("1.5GiB")]
    [InlineData("-1")]
    [InlineData("1GB")]
    [InlineData("1gib")]
    [InlineData("99999999TiB")]
    [InlineData("99999999999999999999")]
    public void Size_is_refused_when_it_could_be_misread(string text) => Assert.Null(SettingText.ParseSize(text));

    [Theory]
    [InlineData("0", 0L)]
    [InlineData("250us", 2_500L)]
    [InlineData("250ms", 2_500_000L)]
    [InlineData("10s", 100_000_000L)]
    [InlineData("2m", 1_200_000_000L)]
    [InlineData("1h", 36_000_000_000L)]
    [InlineData("00:01:30", 900_000_000L)]
    public void Duration_is_read_with_a_unit_or_as_a_clock(string text, long ticks) => Assert.Equal(new TimeSpan(ticks), SettingText.ParseDuration(text));

    [Theory]
    [InlineData("10")]
    [InlineData("10 seconds")]
    [InlineData("-00:00:01")]
    [InlineData("1e3ms")]
    [InlineData("99999999999999h")]
    public void Duration_is_refused_without_a_unit_or_below_zero(string text) => Assert.Null(SettingText.ParseDuration(text));

    [Theory]
    [InlineData("0660", 0x1B0u)]
    [InlineData("666", 0x1B6u)]
    [InlineData("0", 0u)]
    public void Mode_is_octal(string text, uint mode) => Assert.Equal(mode, SettingText.ParseMode(text));

    [Theory]
    [InlineData("0888")]
    [InlineData("01777")]
    [InlineData("4755")]
    [InlineData("")]
    [InlineData("rw-rw----")]
    public void Mode_is_refused_beyond_permission_bits(string text) => Assert.Null(SettingText.ParseMode(text));

    [Fact]
    public void Id_minus_one_is_refused_because_no_process_has_it() => Assert.Null(SettingText.ParseId("4294967295"));

    [Theory]
    [InlineData(0L, "0")]
    [InlineData(4097L, "4097")]
    [InlineData(65536L, "64KiB")]
    [InlineData(1L << 30, "1GiB")]
    [InlineData(1536L << 20, "1536MiB")]
    public void Size_is_written_in_the_largest_whole_unit(long bytes, string text) => Assert.Equal(text, SettingText.FormatSize(bytes));

    [Theory]
    [InlineData(0L, "0s")]
    [InlineData(2_500L, "250us")]
    [InlineData(900_000_000L, "90s")]
    [InlineData(1_200_000_000L, "2m")]
    public void Duration_is_written_in_the_largest_whole_unit(long ticks, string text) =>
        Assert.Equal(text, SettingText.FormatDuration(new TimeSpan(ticks)));
}
