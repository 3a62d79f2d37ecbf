namespace UffdManager.Linux;

/// <summary>Numbers of the userfaultfd ioctls: the low byte of the request, and the bit in <see cref="UffdIoctls"/>.</summary>
internal static class UffdIoctlNumber
{
    [CName("_UFFDIO_REGISTER")] public const int Register = 0x00;
    [CName("_UFFDIO_UNREGISTER")] public const int Unregister = 0x01;
    [CName("_UFFDIO_WAKE")] public const int Wake = 0x02;
    [CName("_UFFDIO_COPY")] public const int Copy = 0x03;
    [CName("_UFFDIO_ZEROPAGE")] public const int ZeroPage = 0x04;
    [CName("_UFFDIO_MOVE")] public const int Move = 0x05;
    [CName("_UFFDIO_WRITEPROTECT")] public const int WriteProtect = 0x06;
    [CName("_UFFDIO_CONTINUE")] public const int Continue = 0x07;
    [CName("_UFFDIO_POISON")] public const int Poison = 0x08;
    [CName("_UFFDIO_API")] public const int Api = 0x3F;
}
