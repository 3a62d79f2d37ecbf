using System.Text;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>
/// A process that hands its memory over as a Firecracker does: maps, makes a userfaultfd, registers, connects; and sends what the test wants, through a duplicate of its connection.
/// </summary>
internal sealed class EmulatedVm : IDisposable
{
    public const ulong Page = 4096;
    public const ulong EventRemove = 8;

    private readonly string _socket;
    private SafeSocketFd? _connection;

    private EmulatedVm(string socket, ClientProcess client, string kind, ulong length, ulong features, int modes)
    {
        _socket = socket;
        Client = client;
        Length = length;
        Start = client.Map(kind, length).Address;
        Uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
        UffdNumber = number;
        client.Run($"api {number} {features}");
        client.Run($"register {number} {Start} {length} {modes}");
    }

    public ClientProcess Client { get; }

    public ulong Start { get; }

    public ulong Length { get; }

    /// <summary>A duplicate of the VM's own, which keeps it.</summary>
    public SafeUffd Uffd { get; }

    public int UffdNumber { get; }

    /// <summary>Starts one whose memory has the size of the image.</summary>
    public static EmulatedVm Boot(SnapshotHost host, string kind = "anon", ulong length = SnapshotHost.ImageBytes, ulong features = EventRemove, int modes = 1) =>
        new(host.SocketPath, ClientProcess.Start(), kind, length, features, modes);

    /// <summary>Starts one for a socket.</summary>
    public static EmulatedVm Boot(string socket, ulong length) => new(socket, ClientProcess.Start(), "anon", length, EventRemove, 1);

    public string Message(string version = "1.12", ulong offset = 0, ulong page = Page) => $"[{DecoderInput.Region(version, Start, Length, offset, page)}]";

    /// <summary>Connects as the VM.</summary>
    public EmulatedVm Connect(string? path = null)
    {
        int number = (int)Client.Run($"connect {path ?? _socket} 1");
        _connection = Client.Take<SafeSocketFd>(number);
        Client.Run($"close {number}");
        return this;
    }

    public Errno Send(ReadOnlySpan<byte> bytes, params SafeFd[] descriptors) => UnixSocket.Send(_connection!, bytes, descriptors, dontWait: false);

    public Errno Send(string text, params SafeFd[] descriptors) => Send(Encoding.UTF8.GetBytes(text), descriptors);

    /// <summary>Everything a sound VM does, with the connection closed at once as up to 1.11, or kept.</summary>
    public EmulatedVm HandOver(string version = "1.12")
    {
        Connect();
        Assert.Equal(Errno.OK, Send(Message(version), Uffd));
        if (version is "1.1" or "1.7")
            Disconnect();
        return this;
    }

    public void Disconnect()
    {
        _connection?.Dispose();
        _connection = null;
    }

    /// <summary>Reads all of it and compares.</summary>
    public void AssertHolds(ReadOnlySpan<byte> contents) => Assert.Equal(ClientProcess.Hash(contents), Client.HashRange(Start, (ulong)contents.Length));

    /// <summary>It was killed, and not just let run.</summary>
    public void AssertKilled() => Client.WaitForExit();

    public void Dispose()
    {
        Disconnect();
        Uffd.Dispose();
        Client.Dispose();
    }
}
