using UffdManager.Daemon.Control;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

public sealed class ControlRouteTests
{
    [Theory]
    [InlineData("/v1/sessions/{id}", "/v1/sessions/7", "7")]
    [InlineData("/v1/sessions/{id}/regions/{start}/map", "/v1/sessions/7/regions/0x1000/map", "7 0x1000")]
    [InlineData("/v1/sessions", "/v1/sessions", "")]
    public void Path_gives_the_values_at_the_places_of_the_braces(string template, string path, string values) =>
        Assert.Equal(values, string.Join(' ', new ControlRoute("GET", template, AccessRight.Read, _ => Task.CompletedTask).Match(path.Split('/'))!));

    [Theory]
    [InlineData("/v1/sessions/{id}", "/v1/sessions/")]
    [InlineData("/v1/sessions/{id}", "/v1/sessions/7/")]
    [InlineData("/v1/sessions", "/v1/Sessions")]
    [InlineData("/v1/sessions", "/v1")]
    public void Path_of_another_shape_does_not_match(string template, string path) =>
        Assert.Null(new ControlRoute("GET", template, AccessRight.Read, _ => Task.CompletedTask).Match(path.Split('/')));

    [Fact]
    public void Limit_gives_a_place_back_once()
    {
        using ConcurrencyLimit limit = new("things", 1);
        IDisposable place = limit.Enter();
        Assert.Equal(ProblemKind.Busy, Assert.Throws<ProblemException>(limit.Enter).Kind);
        place.Dispose();
        place.Dispose();
        using IDisposable again = limit.Enter();
        Assert.Throws<ProblemException>(limit.Enter);
    }
}
