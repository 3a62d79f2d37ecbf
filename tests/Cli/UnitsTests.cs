using UffdManager.Cli.Output;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>Numbers for people, and tables.</summary>
public sealed class UnitsTests
{
    [Theory]
    [InlineData(0, "0B")]
    [InlineData(1023, "1023B")]
    [InlineData(1024, "1KiB")]
    [InlineData(1536, "1.5KiB")]
    [InlineData(1048575, "1MiB")]
    [InlineData(12345678, "11.8MiB")]
    [InlineData(1099511627776, "1TiB")]
    [InlineData(9223372036854775807, "8EiB")]
    public void Bytes_have_three_digits_and_a_binary_unit(long bytes, string text) => Assert.Equal(text, Units.Bytes(bytes));

    [Theory]
    [InlineData(0, "0ns")]
    [InlineData(999, "999ns")]
    [InlineData(1000, "1µs")]
    [InlineData(2345, "2.35µs")]
    [InlineData(999_900, "1ms")]
    [InlineData(45_600_000, "45.6ms")]
    [InlineData(10_000_000_000, "10s")]
    [InlineData(200_000_000_000, "3m20s")]
    public void Times_have_three_digits_and_a_unit(long nanoseconds, string text) => Assert.Equal(text, Units.Time(nanoseconds));

    [Theory]
    [InlineData(59, "59s")]
    [InlineData(61, "1m1s")]
    [InlineData(18720, "5h12m")]
    [InlineData(1047600, "12d3h")]
    public void Ages_have_their_two_largest_units(long seconds, string text) => Assert.Equal(text, Units.Age(seconds * 1e9));

    [Theory]
    [InlineData(9999, "9999")]
    [InlineData(12345, "12.3k")]
    [InlineData(999_960, "1M")]
    [InlineData(98765432109, "98.8G")]
    public void Counts_are_plain_below_ten_thousand(long count, string text) => Assert.Equal(text, Units.Count(count));

    [Theory]
    [InlineData(0, 10, "0%")]
    [InlineData(1, 100000, "<0.1%")]
    [InlineData(1, 200, "0.5%")]
    [InlineData(424, 1000, "42%")]
    [InlineData(9999, 10000, "99%")]
    [InlineData(1, 1, "100%")]
    [InlineData(3, 2, "150%")]
    [InlineData(1, 0, "0%")]
    public void Shares_never_round_to_a_bound_that_is_not_reached(double part, double whole, string text) => Assert.Equal(text, Units.Percent(part, whole));

    [Fact]
    public void Narrow_table_cuts_texts_first_and_then_leaves_out_columns_of_little_weight()
    {
        Table table = new(new("ID"), new("NAME", Shrink: 6), new("DETAIL", 1), new("EXTRA", 2));
        table.Add(1, "a-long-name-of-somebody", "detail", "extra");
        Assert.Equal("1   a-long-name-of-somebody  detail  extra", Row(null));
        Assert.Equal("1   a-long-n…  detail  extra", Row(28));
        Assert.Equal("1   a-long-name…  detail", Row(24));
        Assert.Equal("1   a-long-na…", Row(14));
        string Row(int? width) => table.Render(width, Palette.Plain).Last();
    }

    [Theory]
    [InlineData("日本語", 6)]
    [InlineData("e\u0301", 1)]
    [InlineData("🚀", 2)]
    public void Width_counts_columns_and_not_characters(string text, int width) => Assert.Equal(width, Text.Width(text));
}
