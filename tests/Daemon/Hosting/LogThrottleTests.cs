using UffdManager.Daemon.Hosting;
using Xunit;

namespace UffdManager.Daemon.Tests.Hosting;

public sealed class LogThrottleTests
{
    private const int Burst = 10;
    private static readonly TimeSpan s_refill = TimeSpan.FromSeconds(6);
    private readonly ManualTime _time = new();

    [Fact]
    public void Burst_passes_then_one_line_for_each_refill_and_the_rest_is_counted()
    {
        LogThrottle throttle = new(Burst, s_refill, _time);
        for (int i = 0; i < Burst; i++)
            Assert.True(throttle.TryEnter(typeof(string), "a", out _));
        for (int i = 0; i < 5; i++)
            Assert.False(throttle.TryEnter(typeof(string), "a", out _));

        _time.Advance(s_refill);
        Assert.True(throttle.TryEnter(typeof(string), "a", out long suppressed));
        Assert.Equal(5, suppressed);
        Assert.False(throttle.TryEnter(typeof(string), "a", out _));
    }

    [Fact]
    public void Tenants_and_kinds_do_not_silence_each_other()
    {
        LogThrottle throttle = new(Burst, s_refill, _time);
        while (throttle.TryEnter(typeof(string), "noisy", out _))
        {
            // Until it is silenced.
        }

        Assert.True(throttle.TryEnter(typeof(string), "quiet", out _));
        Assert.True(throttle.TryEnter(typeof(int), "noisy", out _));
    }

    [Fact]
    public void Long_silence_refills_no_more_than_a_burst()
    {
        LogThrottle throttle = new(Burst, s_refill, _time);
        throttle.TryEnter(typeof(string), "a", out _);
        _time.Advance(1000 * s_refill);
        int passed = 0;
        while (throttle.TryEnter(typeof(string), "a", out _))
            passed++;
        Assert.Equal(Burst, passed);
    }
}
