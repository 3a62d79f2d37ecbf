using UffdManager.Linux;

namespace UffdManager.TestSupport;

/// <content>Shorthands for what most tests do with a client's memory.</content>
public sealed partial class ClientProcess
{
    /// <summary>
    /// Maps memory in the client. Kinds: <c>anon</c>, <c>anon-shared</c>, <c>memfd-shared</c>, <c>memfd-private</c>, and <c>hugetlb</c>,
    /// <c>hugetlb-memfd-shared</c>, <c>hugetlb-memfd-private</c>.
    /// </summary>
    /// <returns>The address, and the client's number of the memfd (-1 for none).</returns>
    public (ulong Address, int Memfd) Map(string kind, ulong length, PageProtection protection = PageProtection.Read | PageProtection.Write)
    {
        ClientReply reply = Try($"map {kind} {length} {(int)protection}");
        return (reply.Value, (int)(long)reply.Values[1]);
    }

    /// <summary>Makes a userfaultfd in the client and hands us a duplicate; the caller owns it. UFFDIO_API is not done.</summary>
    public SafeUffd OpenUffd(UffdOpenFlags flags = UffdOpenFlags.None) => OpenUffd(flags, out _);

    /// <summary>As the other overload, telling the client's own number too.</summary>
    public SafeUffd OpenUffd(UffdOpenFlags flags, out int number)
    {
        number = (int)Run($"uffd {(int)flags}");
        return Take<SafeUffd>(number);
    }

    /// <summary>Reads one byte.</summary>
    public byte ReadByte(ulong address, int thread = 0) => (byte)Run($"read {address}", thread);

    /// <summary>Writes one byte.</summary>
    public void WriteByte(ulong address, byte value, int thread = 0) => Run($"write {address} {value}", thread);

    /// <summary>True when every byte of the range is <paramref name="value"/>.</summary>
    public bool IsFilledWith(ulong address, ulong length, byte value) => Run($"differ {address} {length} {value}") == 0;

    /// <summary>FNV-1a of a range of the client, to compare with <see cref="Hash"/>.</summary>
    public ulong HashRange(ulong address, ulong length, int thread = 0) => Run($"hash {address} {length}", thread);

    /// <summary>FNV-1a, 64 bits.</summary>
    public static ulong Hash(ReadOnlySpan<byte> data)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (byte b in data)
            hash = unchecked((hash ^ b) * 0x100000001b3);
        return hash;
    }
}
