namespace UffdManager.Linux;

/// <summary>struct uffdio_api.</summary>
[CName("struct uffdio_api")]
internal struct UffdApiArgument
{
    [CName("api")] public ulong Api;
    [CName("features")] public ulong Features;
    [CName("ioctls")] public ulong Ioctls;
}

/// <summary>struct uffdio_range.</summary>
[CName("struct uffdio_range")]
internal struct UffdRangeArgument
{
    [CName("start")] public ulong Start;
    [CName("len")] public ulong Length;
}

/// <summary>struct uffdio_register.</summary>
[CName("struct uffdio_register")]
internal struct UffdRegisterArgument
{
    [CName("range.start")] public ulong Start;
    [CName("range.len")] public ulong Length;
    [CName("mode")] public ulong Mode;
    [CName("ioctls")] public ulong Ioctls;
}

/// <summary>struct uffdio_copy; struct uffdio_move has the same members.</summary>
[CName("struct uffdio_copy")]
[CName("struct uffdio_move")]
internal struct UffdCopyArgument
{
    [CName("dst")] public ulong Destination;
    [CName("src")] public ulong Source;
    [CName("len")] public ulong Length;
    [CName("mode")] public ulong Mode;

    [CName("copy", Of = "struct uffdio_copy")]
    [CName("move", Of = "struct uffdio_move")]
    public long Done;
}

/// <summary>struct uffdio_zeropage; struct uffdio_continue and struct uffdio_poison have the same members.</summary>
[CName("struct uffdio_zeropage")]
[CName("struct uffdio_continue")]
[CName("struct uffdio_poison")]
internal struct UffdFillArgument
{
    [CName("range.start")] public ulong Start;
    [CName("range.len")] public ulong Length;
    [CName("mode")] public ulong Mode;

    [CName("zeropage", Of = "struct uffdio_zeropage")]
    [CName("mapped", Of = "struct uffdio_continue")]
    [CName("updated", Of = "struct uffdio_poison")]
    public long Done;
}

/// <summary>struct uffdio_writeprotect.</summary>
[CName("struct uffdio_writeprotect")]
internal struct UffdWriteProtectArgument
{
    [CName("range.start")] public ulong Start;
    [CName("range.len")] public ulong Length;
    [CName("mode")] public ulong Mode;
}
