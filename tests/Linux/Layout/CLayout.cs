using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using UffdManager.TestSupport;

namespace UffdManager.Linux.Tests.Layout;

/// <summary>Turns the C# constants and structures into static asserts of C.</summary>
internal static class CLayout
{
    private const BindingFlags Everything =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private const string Prologue = """
        #define _GNU_SOURCE
        #include <errno.h>
        #include <fcntl.h>
        #include <poll.h>
        #include <signal.h>
        #include <stddef.h>
        #include <time.h>
        #include <unistd.h>
        #include <sys/epoll.h>
        #include <sys/eventfd.h>
        #include <sys/ioctl.h>
        #include <sys/mman.h>
        #include <sys/prctl.h>
        #include <sys/resource.h>
        #include <sys/socket.h>
        #include <sys/stat.h>
        #include <sys/syscall.h>
        #include <sys/timerfd.h>
        #include <sys/uio.h>
        #include <linux/capability.h>
        #include <linux/falloc.h>
        #include <linux/fs.h>
        #include <linux/memfd.h>
        #include <linux/mman.h>
        #include <linux/openat2.h>
        #include <linux/userfaultfd.h>

        """;

    /// <summary>One assert: the C condition and what to say when it fails.</summary>
    public sealed record Check(string Condition, string Origin);

    public static IReadOnlyList<Type> Types { get; } = typeof(Userfaultfd).Assembly.GetTypes();

    /// <summary>All asserts that hold on <paramref name="architecture"/>.</summary>
    public static IReadOnlyList<Check> Checks(string architecture)
    {
        List<Check> checks = [];
        foreach (Type type in Types)
        {
            foreach (FieldInfo field in type.GetFields(Everything).Where(f => f.IsLiteral && f.FieldType != typeof(string)))
                AddConstant(checks, field, architecture);
            foreach (CNameAttribute name in Names(type, architecture))
                AddStructure(checks, type, name.Name, architecture);
        }

        return checks;
    }

    /// <summary>The C file.</summary>
    public static string Source(IEnumerable<Check> checks)
    {
        string table = Path.Combine(NativeProgram.RepositoryRoot, "tests", "Linux", "Layout", "newer-kernel.h");
        StringBuilder text = new(Prologue);
        text.Append("#include \"").Append(table).Append("\"\n");
        foreach (Check check in checks)
            text.Append("_Static_assert(").Append(check.Condition).Append(", \"").Append(check.Origin).Append("\");\n");
        return text.ToString();
    }

    public static IEnumerable<CNameAttribute> Names(MemberInfo member, string architecture) =>
        member.GetCustomAttributes<CNameAttribute>().Where(a => a.Architecture is null || a.Architecture == architecture);

    private static void AddConstant(List<Check> checks, FieldInfo field, string architecture)
    {
        string value = Literal(field.GetRawConstantValue()!);
        foreach (CNameAttribute name in Names(field, architecture))
        {
            // Both sides as 64 bits of the constant's own width: C calls 1 << 31 negative, C# does not.
            string mask = Mask(field.GetRawConstantValue()!);
            checks.Add(new Check($"((unsigned long long)({name.Name}) & {mask}) == ({value} & {mask})", Origin(field, name.Name)));
        }
    }

    private static void AddStructure(List<Check> checks, Type type, string structure, string architecture)
    {
        checks.Add(new Check($"sizeof({structure}) == {SizeOf(type)}", $"{type.Name}: size of {structure}"));
        foreach (FieldInfo field in type.GetFields(Everything).Where(f => !f.IsStatic))
        {
            foreach (CNameAttribute name in Names(field, architecture).Where(n => n.Of is null || n.Of == structure))
            {
                string offset = Marshal.OffsetOf(type, field.Name).ToString(CultureInfo.InvariantCulture);
                checks.Add(new Check($"offsetof({structure}, {name.Name}) == {offset}", Origin(field, structure + "." + name.Name)));
                checks.Add(new Check(
                    $"sizeof((({structure} *)0)->{name.Name}) == {SizeOf(field.FieldType)}", Origin(field, "size of " + name.Name)));
            }
        }
    }

    private static int SizeOf(Type type) =>
        type.IsPointer
            ? IntPtr.Size
            : (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;

    private static string Origin(FieldInfo field, string name) => $"{field.DeclaringType!.Name}.{field.Name} is not {name}";

    private static string Mask(object value) => value switch
    {
        byte => "0xFFULL",
        short or ushort => "0xFFFFULL",
        int or uint => "0xFFFFFFFFULL",
        _ => "0xFFFFFFFFFFFFFFFFULL",
    };

    private static string Literal(object value) => value switch
    {
        ulong wide => $"{wide}ULL",
        uint narrow => $"{narrow}ULL",
        _ => $"(unsigned long long)({Convert.ToInt64(value, CultureInfo.InvariantCulture)}LL)",
    };
}
