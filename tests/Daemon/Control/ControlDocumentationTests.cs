using System.Text.Json.Serialization.Metadata;
using UffdManager.Control;
using UffdManager.Daemon.Control;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>docs/CONTROL-API.md and the code say the same.</summary>
public sealed class ControlDocumentationTests
{
    private static readonly ControlApiDocument s_document = ControlApiDocument.Read();

    private static readonly Type[] s_records =
        [.. typeof(ControlJson).Assembly.GetExportedTypes().Where(type => type.Name.EndsWith("Dto", StringComparison.Ordinal))];

    [Fact]
    public void Every_record_has_a_table_and_every_table_a_record() =>
        Assert.Equal(s_records.Select(type => type.Name[..^3]).Order(StringComparer.Ordinal), s_document.Types.Keys.Order(StringComparer.Ordinal));

    [Fact]
    public void Tables_have_the_fields_of_the_records_in_order_with_their_types()
    {
        foreach (Type record in s_records)
        {
            JsonTypeInfo info = ControlJson.Default.GetTypeInfo(record) ?? throw new InvalidOperationException($"{record} is not generated");
            string[] inCode = [.. info.Properties.Select(property => $"{record.Name[..^3]}.{property.Name}: {NameOf(property.PropertyType, property.IsGetNullable)}")];
            string[] documented = [.. s_document.Types[record.Name[..^3]].Select(field => $"{record.Name[..^3]}.{field.Key}: {field.Value}")];
            Assert.Equal(documented.Select(WithoutInnerNull), inCode.Select(WithoutInnerNull));
        }
    }

    [Fact]
    public void Problems_have_the_statuses_that_the_document_says() =>
        Assert.Equal(s_document.Problems.OrderBy(problem => problem.Key, StringComparer.Ordinal), ProblemKind.All.ToDictionary(kind => kind.Name, kind => kind.Status).OrderBy(problem => problem.Key, StringComparer.Ordinal));

    // Whether an item of a map may be null cannot be seen from outside.
    private static string WithoutInnerNull(string field) => field.Replace("string?>", "string>", StringComparison.Ordinal);

    private static string NameOf(Type type, bool mayBeNull)
    {
        Type plain = Nullable.GetUnderlyingType(type) ?? type;
        string name = plain switch
        {
            _ when plain == typeof(int) || plain == typeof(long) => "int",
            _ when plain == typeof(double) => "number",
            _ when plain == typeof(string) => "string",
            _ when plain == typeof(bool) => "bool",
            _ when plain == typeof(System.Text.Json.Nodes.JsonObject) => "object",
            { IsGenericType: true } when plain.GetGenericTypeDefinition() == typeof(IReadOnlyList<>) => NameOf(plain.GenericTypeArguments[0], mayBeNull: false) + "[]",
            { IsGenericType: true } when plain.GetGenericTypeDefinition() == typeof(IReadOnlyDictionary<,>) => $"map<{NameOf(plain.GenericTypeArguments[1], mayBeNull: false)}>",
            _ => plain.Name[..^3],
        };
        return mayBeNull || plain != type ? name + "?" : name;
    }
}
