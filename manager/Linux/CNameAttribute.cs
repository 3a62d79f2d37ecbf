namespace UffdManager.Linux;

/// <summary>
/// Ties a C# constant, structure or field to its name in the kernel's headers. The layout test reads it, generates static
/// asserts and lets the system's C compiler judge the value, the size or the offset.
/// </summary>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Struct, AllowMultiple = true)]
internal sealed class CNameAttribute : Attribute
{
    public CNameAttribute(string name) => Name = name;

    /// <summary>The macro, the <c>struct tag</c> or the member designator (<c>arg.pagefault.flags</c>).</summary>
    public string Name { get; }

    /// <summary>For a field of a structure that mirrors several C structures: the one in which it has this name; null in all.</summary>
    public string? Of { get; init; }

    /// <summary>The architecture on which the value holds (<c>x86_64</c>, <c>aarch64</c>); null on all.</summary>
    public string? Architecture { get; init; }
}
