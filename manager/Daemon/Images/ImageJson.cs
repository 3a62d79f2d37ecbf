using System.Text.Json.Serialization;

namespace UffdManager.Daemon.Images;

/// <summary>Reading and writing what is remembered of images.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(ImageDefinition))]
internal sealed partial class ImageJson : JsonSerializerContext;
