using Microsoft.AspNetCore.Http;
using UffdManager.Control;
using UffdManager.Daemon.Inspection;

namespace UffdManager.Daemon.Control;

/// <summary>What is looked at without any change: the daemon, tenants, policies, service times.</summary>
internal sealed class StatusRoutes(Inspector inspector) : IControlRoutes
{
    private static ControlJson Json => ControlResponse.Json;

    public IEnumerable<ControlRoute> Routes =>
    [
        new(HttpMethods.Get, "/v1/status", AccessRight.Read, StatusAsync),
        new(HttpMethods.Get, "/v1/tenants", AccessRight.Read, TenantsAsync),
        new(HttpMethods.Get, "/v1/tenants/{name}", AccessRight.Read, TenantAsync),
        new(HttpMethods.Get, "/v1/policies", AccessRight.Read, PoliciesAsync),
        new(HttpMethods.Get, "/v1/policies/{name}", AccessRight.Read, PolicyAsync),
        new(HttpMethods.Get, "/v1/latency", AccessRight.Read, LatencyAsync),
    ];

    private async Task StatusAsync(ControlRequest request)
    {
        request.RefuseOthers();
        await ControlResponse.JsonAsync(request.Http, await inspector.StatusAsync(request.Aborted), Json.StatusDto);
    }

    private Task TenantsAsync(ControlRequest request)
    {
        request.RefuseOthers();
        return ControlResponse.JsonAsync(request.Http, inspector.Tenants(), Json.TenantListDto);
    }

    private Task TenantAsync(ControlRequest request)
    {
        request.RefuseOthers();
        return ControlResponse.JsonAsync(request.Http, inspector.Tenant(request.Value(0)) ?? throw NoTenant(request.Value(0)), Json.TenantDto);
    }

    private Task PoliciesAsync(ControlRequest request)
    {
        request.RefuseOthers();
        return ControlResponse.JsonAsync(request.Http, inspector.Policies(), Json.PolicyListDto);
    }

    private Task PolicyAsync(ControlRequest request)
    {
        request.RefuseOthers();
        PolicyDto policy = inspector.Policy(request.Value(0))
            ?? throw new ProblemException(ProblemKind.NotFound, $"there is no policy \"{request.Value(0)}\"", "GET /v1/policies lists them");
        return ControlResponse.JsonAsync(request.Http, policy, Json.PolicyDto);
    }

    private Task LatencyAsync(ControlRequest request)
    {
        string? tenant = request.Text("tenant");
        request.RefuseOthers();
        string? name = tenant is null ? null : (inspector.Tenant(tenant) ?? throw NoTenant(tenant)).Name;
        return ControlResponse.JsonAsync(request.Http, inspector.LatencyHistory(name), Json.LatencyHistoryDto);
    }

    private static ProblemException NoTenant(string name) => new(ProblemKind.NotFound, $"there is no tenant \"{name}\"", "GET /v1/tenants lists them");
}
