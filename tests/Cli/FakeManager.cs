using UffdManager.Control;

namespace UffdManager.Cli.Tests;

/// <summary>A fake control socket that answers everything with the samples.</summary>
internal static class FakeManager
{
    public const string Configuration = """
        {"loadedAt":"2026-01-31T12:00:00Z","origins":["/etc/uffd-manager/config.json"],"needsRestart":[],
         "settings":{"listen":{"socket":"/run/m.sock","mode":"0660"},"tenants":{"default":{"match":{"uids":[1,2]},"default":true}}}}
        """;

    public const string ConfigurationWithSources = """
        {"loadedAt":"2026-01-31T12:00:00Z","origins":["/etc/uffd-manager/config.json"],"needsRestart":["engine"],
         "settings":{"listen":{"socket":{"value":"/run/m.sock","source":"default"},"group":{"value":null,"source":"default"}},
         "tenants":{"default":{"match":{"uids":{"value":[1,2],"source":"/etc/uffd-manager/config.json"}}}}}}
        """;

    public static FakeControl Start() => new FakeControl()
        .Answer("GET /v1/status", Samples.Status, ControlJson.Default.StatusDto)
        .Answer("GET /v1/sessions", Samples.Sessions, ControlJson.Default.SessionListDto)
        .Answer("GET /v1/sessions/2", Samples.Sessions.Sessions[1], ControlJson.Default.SessionDto)
        .Answer("DELETE /v1/sessions/2", Samples.Sessions.Sessions[1] with { State = "condemned" }, ControlJson.Default.SessionDto, 202)
        .Answer("GET /v1/sessions/2/tracking", Samples.Tracking, ControlJson.Default.TrackingDto)
        .Answer("GET /v1/sessions/2/snapshot", Samples.Progress, ControlJson.Default.SnapshotProgressDto)
        .AnswerText("DELETE /v1/sessions/2/snapshot", "", 202)
        .Answer("GET /v1/regions", Samples.Regions, ControlJson.Default.RegionListDto)
        .Answer("GET /v1/sessions/2/regions", Samples.Regions, ControlJson.Default.RegionListDto)
        .Answer("GET /v1/sessions/1/regions/0x7f0000000000/map", Samples.Map, ControlJson.Default.RegionMapDto)
        .Answer("GET /v1/tenants", Samples.Tenants, ControlJson.Default.TenantListDto)
        .Answer("GET /v1/tenants/default", Samples.Tenants.Tenants[0], ControlJson.Default.TenantDto)
        .Answer("GET /v1/policies", Samples.Policies, ControlJson.Default.PolicyListDto)
        .Answer("GET /v1/policies/image", Samples.Policies.Policies[1], ControlJson.Default.PolicyDto)
        .Answer("GET /v1/images", Samples.Images, ControlJson.Default.ImageListDto)
        .Answer("POST /v1/images", Samples.Images.Images[1], ControlJson.Default.ImageDto, 201)
        .Answer("GET /v1/images/warm-python", Samples.Images.Images[1], ControlJson.Default.ImageDto)
        .Answer("GET /v1/working-sets", Samples.WorkingSets, ControlJson.Default.WorkingSetListDto)
        .Answer("GET /v1/snapshots", Samples.Snapshots, ControlJson.Default.SnapshotListDto)
        .Answer("GET /v1/snapshots/web", Samples.Snapshots.Snapshots[0], ControlJson.Default.SnapshotDto)
        .Answer("DELETE /v1/snapshots/web", Samples.Snapshots.Snapshots[0], ControlJson.Default.SnapshotDto)
        .Answer("POST /v1/snapshots", Samples.Snapshots.Snapshots[0], ControlJson.Default.SnapshotDto, 201)
        .Answer("GET /v1/loglevel", Samples.LogLevels, ControlJson.Default.LogLevelsDto)
        .Answer("PUT /v1/loglevel", Samples.LogLevels, ControlJson.Default.LogLevelsDto)
        .Answer("POST /v1/config/check", Samples.ValidCheck, ControlJson.Default.ConfigurationCheckDto)
        .Answer("POST /v1/reload", new ReloadDto { LoadedAt = "2026-01-31T12:00:00Z", Tenants = 2, Policies = 3, Warnings = [], NeedsRestart = [], Origins = ["/etc/c.json"] }, ControlJson.Default.ReloadDto)
        .AnswerBy("GET /v1/config", request => request.Target.Contains("sources=true", StringComparison.Ordinal) ? ConfigurationWithSources : Configuration);
}
