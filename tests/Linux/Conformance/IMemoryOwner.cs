using UffdManager.TestSupport;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>The process whose memory a row plays with: this one or another. What may sleep in a fault runs on a thread of its own.</summary>
internal interface IMemoryOwner : IDisposable
{
    int Pid { get; }

    SafeUffd OpenUffd();

    /// <summary>Maps memory; the memfd (of shared, private and hugetlb memory) is the caller's.</summary>
    (ulong Address, SafeFile? Memfd) Map(MemoryKinds kind, ulong length);

    /// <summary>Reads a byte.</summary>
    Task<ClientReply> Read(ulong address);

    /// <summary>Writes a byte.</summary>
    Task<ClientReply> Write(ulong address, byte value);

    Task<ClientReply> Advise(ulong address, ulong length, MemoryAdvice advice);

    Task<ClientReply> Unmap(ulong address, ulong length);

    /// <summary>Moves to a new place, which is the answer.</summary>
    Task<ClientReply> Move(ulong address, ulong length);

    Task<ClientReply> Protect(ulong address, ulong length, PageProtection protection);
}
