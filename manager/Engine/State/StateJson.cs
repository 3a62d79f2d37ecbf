using System.Text.Json.Serialization;

namespace UffdManager.Engine.State;

/// <summary>Reading and writing documents. A member that a build does not know is skipped, one that is missing has its default.</summary>
[JsonSourceGenerationOptions(GenerationMode = JsonSourceGenerationMode.Default, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(PolicyDocument))]
[JsonSerializable(typeof(SourceDocument))]
[JsonSerializable(typeof(LayersDocument))]
[JsonSerializable(typeof(ImageReference))]
[JsonSerializable(typeof(ImageDocument))]
[JsonSerializable(typeof(SessionRecord))]
internal sealed partial class StateJson : JsonSerializerContext;
