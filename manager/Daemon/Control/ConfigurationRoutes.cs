using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using UffdManager.Control;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Inspection;

namespace UffdManager.Daemon.Control;

/// <summary>The configuration in use, what a reload would say, and the reload.</summary>
internal sealed partial class ConfigurationRoutes(ConfigurationInUse inUse, ReloadService reload, ILogger<ConfigurationRoutes> logger) : IControlRoutes
{
    private static ControlJson Json => ControlResponse.Json;

    public IEnumerable<ControlRoute> Routes =>
    [
        new(HttpMethods.Get, "/v1/config", AccessRight.Read, ShowAsync),
        new(HttpMethods.Post, "/v1/config/check", AccessRight.Read, CheckAsync),
        new(HttpMethods.Post, "/v1/reload", AccessRight.Admin, ReloadAsync),
    ];

    private Task ShowAsync(ControlRequest request)
    {
        bool withSources = request.Boolean("sources");
        request.RefuseOthers();
        return ControlResponse.JsonAsync(request.Http, ConfigurationView.Document(inUse.Now, withSources), Json.ConfigurationDto);
    }

    private Task CheckAsync(ControlRequest request)
    {
        request.RefuseOthers();
        return ControlResponse.JsonAsync(request.Http, ConfigurationView.Document(reload.Check()), Json.ConfigurationCheckDto);
    }

    private Task ReloadAsync(ControlRequest request)
    {
        request.RefuseOthers();
        LogReload(request.Peer);
        ReloadOutcome outcome = reload.Reload();
        if (!outcome.Succeeded)
        {
            throw new ProblemException(
                ProblemKind.ConfigurationInvalid, $"the configuration has {outcome.Errors.Count} errors, the one in use stays", "mend them and reload again")
            {
                Errors = ConfigurationView.Problems(outcome),
            };
        }

        ManagerConfiguration configuration = outcome.Loaded.Value!;
        ReloadDto document = new()
        {
            LoadedAt = Words.Time(inUse.Now.At),
            Tenants = configuration.Tenants.Count,
            Policies = configuration.Policies.Count,
            Warnings = outcome.Warnings,
            NeedsRestart = outcome.NeedsRestart,
            Origins = outcome.Loaded.Origins,
        };
        return ControlResponse.JsonAsync(request.Http, document, Json.ReloadDto);
    }

    [LoggerMessage(2230, LogLevel.Information, "The configuration is read again for {Peer}")]
    private partial void LogReload(ControlPeer peer);
}
