using System.Text.Json;
using UffdManager.Control;

namespace UffdManager.Cli.Control;

/// <summary>How documents are read: what must be there is, or the document counts as not understood.</summary>
internal static class Documents
{
    /// <summary>The types of the control API.</summary>
    public static ControlJson Types { get; } = new(new JsonSerializerOptions(ControlJson.Default.Options) { RespectNullableAnnotations = true });
}
