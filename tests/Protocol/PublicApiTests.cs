using System.Reflection;
using System.Text;
using Xunit;

namespace UffdManager.Protocol.Tests;

/// <summary>
/// The public surface of UffdManager.Protocol is a reviewed text file. A wanted change: set UFFD_TEST_WRITE_API=1, run this test, and
/// commit the file that it names.
/// </summary>
public sealed class PublicApiTests
{
    [Fact]
    public void Public_surface_is_the_reviewed_one()
    {
        string actual = Describe(typeof(Message).Assembly);
        string path = Path.Combine(AppContext.BaseDirectory, "PublicApi.txt");
        if (Environment.GetEnvironmentVariable("UFFD_TEST_WRITE_API") == "1")
        {
            string written = Path.Combine(Path.GetTempPath(), "PublicApi.txt");
            File.WriteAllText(written, actual);
            Assert.Fail($"Written to {written}; copy it to tests/Protocol/PublicApi.txt.");
        }

        Assert.Equal(File.ReadAllText(path), actual);
    }

    private static string Describe(Assembly assembly)
    {
        var text = new StringBuilder();
        foreach (Type type in assembly.GetExportedTypes().OrderBy(type => type.FullName, StringComparer.Ordinal))
        {
            string kind = type.IsEnum ? $"enum : {Enum.GetUnderlyingType(type).Name}" : type.IsValueType ? "struct"
                : type.IsAbstract && type.IsSealed ? "static class" : type.IsAbstract ? "abstract class" : type.IsSealed ? "sealed class" : "class";
            text.Append(type.FullName).Append(" (").Append(kind).Append(")\n");
            foreach (string member in Members(type).Order(StringComparer.Ordinal))
                text.Append("  ").Append(member).Append('\n');
        }

        return text.ToString();
    }

    private static IEnumerable<string> Members(Type type)
    {
        const BindingFlags Declared = BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        if (type.IsEnum)
            return Enum.GetNames(type).Select(name => $"{name} = {Enum.Format(type, Enum.Parse(type, name), "d")}");

        IEnumerable<string> constructors = type.GetConstructors().Select(constructor => $"new({Parameters(constructor)})");
        IEnumerable<string> fields = type.GetFields(Declared)
            .Select(field => field.IsLiteral ? $"const {field.FieldType.Name} {field.Name} = {field.GetRawConstantValue()}" : $"{field.FieldType.Name} {field.Name}");
        IEnumerable<string> properties = type.GetProperties(Declared)
            .Select(property => $"{property.PropertyType.Name} {property.Name} {{{(property.CanRead ? " get;" : "")}{(property.CanWrite ? " set;" : "")} }}");
        // What the compiler adds to a record is the same for all of them and would only hide what somebody wrote.
        IEnumerable<string> methods = type.GetMethods(Declared)
            .Where(method => !method.IsSpecialName && !method.Name.Contains('<', StringComparison.Ordinal)
                && method.Name is not ("Equals" or "GetHashCode" or "ToString" or "Deconstruct"))
            .Select(method => $"{(method.IsStatic ? "static " : "")}{method.ReturnType.Name} {method.Name}({Parameters(method)})");
        return constructors.Concat(fields).Concat(properties).Concat(methods);
    }

    private static string Parameters(MethodBase method) => string.Join(
        ", ", method.GetParameters().Select(parameter => $"{(parameter.IsOut ? "out " : "")}{Name(parameter.ParameterType)} {parameter.Name}"));

    private static string Name(Type type) => type.IsGenericType
        ? $"{type.Name.Split('`')[0]}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>"
        : type.Name.TrimEnd('&');
}
