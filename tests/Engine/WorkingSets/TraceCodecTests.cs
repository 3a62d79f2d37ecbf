using FsCheck;
using FsCheck.Fluent;
using UffdManager.Engine.Sources;
using UffdManager.Engine.WorkingSets;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>The bytes of a trace: what was written is read, and nothing else is taken for a trace.</summary>
public sealed class TraceCodecTests
{
    private static readonly TraceKey s_key = new("alice", new SourceIdentity(0x801, 4711, 1L << 30, 1_700_000_000_123_456_789), 4096);

    [Fact]
    public void Trace_is_read_as_it_was_written() => Prop.ForAll(ArbMap.Default.ArbFor<int>(), static seed =>
    {
        Trace trace = RandomTrace(seed);
        Trace? read = TraceCodec.TryDecode(TraceCodec.Encode(s_key, trace), s_key, out _);
        Assert.NotNull(read);
        Assert.Equal(trace.Entries, read.Entries);
        Assert.Equal(trace with { Entries = [] }, read with { Entries = trace.Entries[..0] });
    }).Check(Config.QuickThrowOnFailure.WithMaxTest(300));

    [Theory]
    [InlineData(Trace.MaximumCount, 0, true)]
    [InlineData(Trace.MaximumCount + 1, 0, false)]
    [InlineData(1, Trace.MaximumCount, true)]
    [InlineData(1, int.MaxValue, false)]
    public void Numbers_that_would_run_over_later_are_not_believed(int runs, int judged, bool isTaken)
    {
        Trace trace = new() { Entries = [], Runs = runs, ProbesJudged = judged };
        Assert.Equal(isTaken, TraceCodec.TryDecode(TraceCodec.Encode(s_key, trace), s_key, out _) is not null);
    }

    [Fact]
    public void Neighbours_that_agree_take_a_few_bytes_for_all_of_them()
    {
        Trace trace = new() { Entries = [.. Enumerable.Range(1000, 6144).Select(page => new TraceEntry((uint)page, 128, 9))] };
        Assert.InRange(TraceCodec.Encode(s_key, trace).Length, 1, 150);
    }

    [Fact]
    public void Trace_that_was_cut_short_or_changed_anywhere_is_none()
    {
        byte[] good = TraceCodec.Encode(s_key, RandomTrace(1));
        for (int length = 0; length < good.Length; length++)
            Assert.Null(TraceCodec.TryDecode(good.AsSpan(0, length), s_key, out _));
        for (int at = 0; at < good.Length; at++)
        {
            byte[] bad = [.. good];
            bad[at] ^= (byte)(1 << (at % 8));
            Assert.Null(TraceCodec.TryDecode(bad, s_key, out string reason));
            Assert.NotEmpty(reason);
        }
    }

    [Fact]
    public void Noise_with_a_right_checksum_is_none_and_harms_nobody() => Prop.ForAll(ArbMap.Default.ArbFor<byte[]>(), static noise =>
    {
        byte[] start = TraceCodec.Encode(s_key, new Trace { Entries = [] })[..^32];
        foreach (int keep in new[] { 8, 12, 16, 50, start.Length - 4, start.Length })
        {
            byte[] body = [.. start[..keep], .. noise];
            byte[] sealedNoise = [.. body, .. System.Security.Cryptography.SHA256.HashData(body)];
            Trace? read = TraceCodec.TryDecode(sealedNoise, s_key, out _);
            Assert.True(read is null || read.Entries.All(entry => entry.Page < s_key.Pages && entry.Score > 0));
        }
    }).Check(Config.QuickThrowOnFailure.WithMaxTest(300));

    [Fact]
    public void Pages_beyond_the_end_of_the_source_are_refused()
    {
        TraceKey small = s_key with { Source = s_key.Source with { Size = 10 * 4096 } };
        Assert.NotNull(TraceCodec.TryDecode(TraceCodec.Encode(small, new Trace { Entries = [new TraceEntry(9, 128, 0)] }), small, out _));
        Assert.Null(TraceCodec.TryDecode(TraceCodec.Encode(small, new Trace { Entries = [new TraceEntry(10, 128, 0)] }), small, out _));
    }

    [Fact]
    public void Trace_of_a_file_that_has_changed_says_so()
    {
        byte[] bytes = TraceCodec.Encode(s_key, RandomTrace(2));
        Assert.Null(TraceCodec.TryDecode(bytes, s_key with { Source = s_key.Source with { ModifiedNanoseconds = 1 } }, out string reason));
        Assert.Contains("changed", reason, StringComparison.Ordinal);
        Assert.Null(TraceCodec.TryDecode(bytes, s_key with { Tenant = "bob" }, out reason));
        Assert.Contains("another tenant", reason, StringComparison.Ordinal);
        Assert.Null(TraceCodec.TryDecode(bytes, s_key with { PageBytes = 2 << 20 }, out reason));
        Assert.Contains("page size", reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Time_in_one_byte_grows_with_the_time_and_knows_its_end() => Prop.ForAll(ArbMap.Default.ArbFor<uint>(), static value =>
    {
        long time = value % 3_600_000;
        byte step = TraceTime.From(time);
        Assert.True(TraceTime.End(step) > time);
        Assert.True(TraceTime.End(step) <= time + (time / 3) + 1, $"{time} ends at {TraceTime.End(step)}");
        Assert.True(TraceTime.From(time + 1) >= step);
        Assert.True(TraceTime.From(TraceTime.End(step)) > step);
    }).Check(Config.QuickThrowOnFailure.WithMaxTest(300));

    private static Trace RandomTrace(int seed)
    {
        System.Random random = new(seed);
        List<TraceEntry> entries = [];
        long page = random.Next(1000);
        while (entries.Count < 300 && page < s_key.Pages - 64)
        {
            int run = random.Next(1, 40);
            byte score = (byte)random.Next(1, 256);
            byte time = (byte)random.Next(0, TraceTime.Maximum + 1);
            for (int i = 0; i < run; i++)
                entries.Add(new TraceEntry((uint)page++, score, time));
            page += random.Next(0, 5000);
        }

        return new Trace
        {
            Entries = [.. entries],
            Runs = random.Next(Trace.MaximumCount + 1),
            ObservedMilliseconds = random.Next(),
            Relearn = random.Next(2) == 1,
            ProbesJudged = 100,
            ProbesTouched = random.Next(101),
        };
    }
}
