using System.Text.Json.Serialization;
using UffdManager.Control;

namespace UffdManager.Daemon.Dashboard;

/// <summary>How the page's data is written: generated code, with everything escaped that means something in HTML.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(LiveHello))]
[JsonSerializable(typeof(LiveFrame))]
[JsonSerializable(typeof(LiveTrouble))]
[JsonSerializable(typeof(LatencyHistoryDto))]
[JsonSerializable(typeof(SessionMemory))]
internal sealed partial class DashboardJson : JsonSerializerContext;
