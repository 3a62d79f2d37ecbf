using System.Reflection;
using System.Runtime.InteropServices;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests.Layout;

/// <summary>The C compiler judges every constant, size and offset that the Linux layer mirrors.</summary>
public sealed class LayoutTests
{
    private static string ThisArchitecture =>
        RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "aarch64" : "x86_64";

    [Fact]
    public void Constants_and_structures_are_those_of_the_C_headers()
    {
        Assert.True(Compile("gcc", CLayout.Checks(ThisArchitecture), out string messages), messages);
    }

    [SkippableFact]
    public void Constants_and_structures_are_those_of_the_C_headers_on_arm64()
    {
        const string Compiler = "aarch64-linux-gnu-gcc";
        Require.That(OnPath(Compiler), $"needs {Compiler} (Debian package gcc-aarch64-linux-gnu)");
        Assert.True(Compile(Compiler, CLayout.Checks("aarch64"), out string messages), messages);
    }

    [Theory]
    [InlineData("UFFDIO_COPY")]
    [InlineData("UFFD_FEATURE_MOVE")]
    [InlineData("EPOLLET")]
    [InlineData("offsetof(struct uffd_msg, arg.pagefault.address)")]
    [InlineData("sizeof(struct pm_scan_arg)")]
    public void Compiler_rejects_a_single_wrong_value(string about)
    {
        List<CLayout.Check> checks = [.. CLayout.Checks(ThisArchitecture)];
        int index = checks.FindIndex(c => c.Condition.Contains(about, StringComparison.Ordinal));
        Assert.True(index >= 0, $"nothing checks {about}");
        checks[index] = checks[index] with { Condition = checks[index].Condition.Replace("==", "== 1 +", StringComparison.Ordinal) };
        Assert.False(Compile("gcc", checks, out string messages));
        Assert.Contains(checks[index].Origin, messages, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_member_of_a_mirrored_enumeration_and_structure_has_its_C_name()
    {
        foreach (Type type in CLayout.Types.Where(t => t.IsEnum || t.IsValueType))
        {
            FieldInfo[] fields = type.GetFields(type.IsEnum
                ? BindingFlags.Public | BindingFlags.Static
                : BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance);
            bool mirrors = type.IsEnum ? fields.Any(HasName) : type.GetCustomAttributes<CNameAttribute>().Any();
            IEnumerable<string> nameless = fields.Where(f => mirrors && !HasName(f) && !IsZero(f)).Select(f => $"{type.Name}.{f.Name}");
            Assert.Empty(nameless);
        }

        static bool HasName(FieldInfo field) => field.GetCustomAttributes<CNameAttribute>().Any();
        static bool IsZero(FieldInfo field) => field.IsLiteral && Convert.ToUInt64(field.GetRawConstantValue(), null) == 0;
    }

    [Fact]
    public void Proof_covers_the_whole_layer()
    {
        // A reflection mistake that finds nothing would pass every other test.
        IReadOnlyList<CLayout.Check> checks = CLayout.Checks(ThisArchitecture);
        Assert.True(checks.Count > 300, $"only {checks.Count} checks");
        Assert.Contains(checks, c => c.Condition.Contains("sizeof(struct epoll_event) == ", StringComparison.Ordinal));
        Assert.Contains(checks, c => c.Condition.Contains("SYS_userfaultfd", StringComparison.Ordinal));
    }

    private static bool Compile(string compiler, IEnumerable<CLayout.Check> checks, out string messages)
    {
        using TempDirectory directory = new();
        string source = directory.WriteFile("layout.c", System.Text.Encoding.UTF8.GetBytes(CLayout.Source(checks)));
        return NativeProgram.TryCompile(source, directory.Combine("layout.o"), ["-std=gnu17", "-Werror", "-c"], out messages, compiler);
    }

    private static bool OnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(d => File.Exists(Path.Combine(d, program)));
}
