using UffdManager.TestSupport;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>Memory of another process.</summary>
internal sealed class RemoteOwner : IMemoryOwner
{
    private const int Threads = 120;

    private int _next;

    public ClientProcess Client { get; } = ClientProcess.Start();

    public int Pid => Client.Pid;

    public SafeUffd OpenUffd() => Client.OpenUffd();

    public (ulong Address, SafeFile? Memfd) Map(MemoryKinds kind, ulong length)
    {
        (ulong address, int memfd) = Client.Map(
            kind switch
            {
                MemoryKinds.Anonymous => "anon",
                MemoryKinds.SharedMemfd => "memfd-shared",
                MemoryKinds.PrivateMemfd => "memfd-private",
                MemoryKinds.Hugetlb => "hugetlb-memfd-shared",
                _ => throw new ArgumentOutOfRangeException(nameof(kind)),
            },
            length);
        return (address, memfd < 0 ? null : Client.Take<SafeFile>(memfd));
    }

    public Task<ClientReply> Read(ulong address) => Begin($"read {address}");

    public Task<ClientReply> Write(ulong address, byte value) => Begin($"write {address} {value}");

    public Task<ClientReply> Advise(ulong address, ulong length, MemoryAdvice advice) => Begin($"madvise {address} {length} {(int)advice}");

    public Task<ClientReply> Unmap(ulong address, ulong length) => Begin($"munmap {address} {length}");

    public Task<ClientReply> Move(ulong address, ulong length)
    {
        // A reserved target makes sure that the range moves rather than stays.
        ulong target = Client.Run($"map anon {length + (2 << 20)}");
        target = (target + (2 << 20) - 1) & ~((2UL << 20) - 1);
        return Begin($"mremap {address} {length} {length} {target}");
    }

    public Task<ClientReply> Protect(ulong address, ulong length, PageProtection protection) =>
        Begin($"mprotect {address} {length} {(int)protection}");

    public void Dispose() => Client.Dispose();

    public Task<ClientReply> Begin(string command) => Client.Begin(command, 1 + (_next++ % Threads)).Completion;
}
