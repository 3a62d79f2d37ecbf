using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;

namespace UffdManager.Dashboard.Tests;

/// <summary>A process whose memory the daemon serves.</summary>
internal sealed class ServedClient : IDisposable
{
    public const ulong PageSize = 4096;

    private readonly WireConnection _connection;

    private ServedClient(ClientProcess process, WireConnection connection, ulong session)
    {
        Process = process;
        _connection = connection;
        Session = session;
    }

    public ClientProcess Process { get; }

    /// <summary>The session's id.</summary>
    public ulong Session { get; }

    /// <summary>Starts a process and hands its userfaultfd over.</summary>
    /// <param name="socketPath">The daemon's.</param>
    /// <param name="label">What the session calls itself.</param>
    public static ServedClient Start(string socketPath, string label = "test")
    {
        ClientProcess process = ClientProcess.Start();
        try
        {
            WireConnection connection = WireConnection.Open(process, socketPath);
            using SafeUffd uffd = process.OpenUffd(UffdOpenFlags.None, out int number);
            WelcomeMessage welcome = connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.HasUffd) with { Label = label }, uffd);
            process.Run($"close {number}");
            return new ServedClient(process, connection, welcome.SessionId);
        }
        catch
        {
            process.Dispose();
            throw;
        }
    }

    /// <summary>Maps memory and has it served.</summary>
    /// <param name="pages">How many.</param>
    /// <param name="policy">Of the region; the session's if empty.</param>
    /// <param name="source">A descriptor of the contents; borrowed.</param>
    public ulong Map(ulong pages, string policy = "", SafeFile? source = null)
    {
        ulong address = Process.Map("anon", pages * PageSize).Address;
        RegisterMessage register = WireConnection.Register(address, pages * PageSize, policy, flags: source is null ? RegisterFlags.None : RegisterFlags.SourceFd);
        _connection.Ask<RegisteredMessage>(register, source is null ? [] : [source]);
        return address;
    }

    /// <summary>Maps memory and has it served from a file that is empty as yet; what is given back of it reads as zeros.</summary>
    /// <param name="pages">How many.</param>
    /// <param name="path">The file; it is made.</param>
    public ulong MapFile(ulong pages, string path)
    {
        using (FileStream file = File.Create(path))
            file.SetLength((long)(pages * PageSize));
        using SafeFile source = FileIo.Open(path, OpenFlags.ReadOnly);
        return Map(pages, "poison", source);
    }

    /// <summary>Writes to each of some pages.</summary>
    public void Touch(ulong address, ulong pages) => Process.Run($"fill {address} {pages * PageSize} 1");

    /// <summary>Gives some pages back.</summary>
    public void GiveBack(ulong address, ulong pages) => Process.Run($"madvise {address} {pages * PageSize} {(int)MemoryAdvice.DontNeed}");

    public void Dispose()
    {
        _connection.Dispose();
        Process.Dispose();
    }
}
