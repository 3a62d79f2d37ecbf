using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>What the tests of managers that follow each other have in common: a folder, a service manager, and a client.</summary>
public abstract class SuccessionTest : IDisposable
{
    private protected const int Kill = 9;
    private protected const int Terminate = 15;
    private protected const ulong Page = 4096;

    private protected SupervisedFolder Folder { get; } = new();

    private protected FakeServiceManager Manager { get; } = new();

    private protected ClientProcess Client { get; } = ClientProcess.Start();

    public void Dispose()
    {
        Client.Dispose();
        Manager.Dispose();
        Folder.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Starts the first manager, and has it serve a file to the client: its page n is filled with n + 1. All that a successor needs is kept when this returns.</summary>
    private protected (ulong Address, WelcomeMessage Welcome) BeginWithFile(int pages, out SupervisedDaemon daemon) => BeginWithFile(pages, out daemon, out _);

    private protected (ulong Address, WelcomeMessage Welcome) BeginWithFile(int pages, out SupervisedDaemon daemon, out string source)
    {
        source = Folder.MakeSource(pages);
        daemon = SupervisedDaemon.StartReady(Folder, Manager);
        ulong address = Client.Map("anon", (ulong)pages * Page).Address;
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(Client, Folder.Socket, "file");
        using (connection)
        using (SafeFile file = FileIo.Open(source, OpenFlags.ReadOnly))
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, (ulong)pages * Page, flags: RegisterFlags.SourceFd), file);
        Manager.WaitForName("source-");
        Manager.WaitForName($"session-{welcome.SessionId}");
        return (address, welcome);
    }

    /// <summary>Registers a page with a file of its own.</summary>
    /// <returns>Null, or why it was refused.</returns>
    private protected ErrorMessage? RegisterFile(WireConnection connection, string path)
    {
        ulong address = Client.Map("anon", Page).Address;
        using SafeFile file = FileIo.Open(path, OpenFlags.ReadOnly);
        connection.Send(WireConnection.Register(address, Page, flags: RegisterFlags.SourceFd), file);
        return connection.Receive() as ErrorMessage;
    }
}
