using System.Text;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>A stream may cut a message anywhere: the running daemon finds the same in it, wherever that was.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class SplitMessageTests : IDisposable
{
    private const ulong Length = 2 * EmulatedVm.Page;

    // A user with more than 64 has little time for the first bytes of each.
    private const int AtATime = 60;

    private readonly TempDirectory _directory = new();
    private readonly byte[] _image = new byte[Length];

    public SplitMessageTests() => new Random(11).NextBytes(_image);

    public void Dispose() => _directory.Dispose();

    // One process with a memory for each byte of the message, each cut behind another byte, many at the same time.
    [Theory]
    [InlineData("1.1", 0, true)]
    [InlineData("1.12", EmulatedVm.EventRemove, false)]
    public async Task Message_that_is_cut_behind_any_byte_is_served(string format, ulong features, bool closes)
    {
        await using DaemonProcess daemon = await StartAsync();
        using ClientProcess client = ClientProcess.Start();
        int cuts = MessageOf(format, client.Map("anon", Length).Address).Length - 1;

        Assert.InRange(cuts, 70, 250);
        ulong start = client.Map("anon", (ulong)cuts * Length).Address;
        for (int first = 1; first <= cuts; first += AtATime)
            CutAll(client, format, features, closes, start, [.. Enumerable.Range(first, Math.Min(AtATime, cuts + 1 - first))]);
        Assert.DoesNotContain(daemon.LogLines, line => line.Contains("VM killed", StringComparison.Ordinal));
    }

    private void CutAll(ClientProcess client, string format, ulong features, bool closes, ulong start, int[] cuts)
    {
        List<Memory> memories = [];
        try
        {
            foreach (int cut in cuts)
            {
                Memory memory = new(client, start + ((ulong)(cut - 1) * Length), features, Socket);
                memories.Add(memory);
                Assert.Equal(Errno.OK, memory.Send(MessageOf(format, memory.Start)[..cut], memory.Uffd));
            }

            // Who connected after them is served: they have been looked at.
            using EmulatedVm whole = EmulatedVm.Boot(Socket, Length).HandOver();
            whole.AssertHolds(_image);
            foreach ((int cut, Memory memory) in cuts.Zip(memories))
            {
                Assert.Equal(Errno.OK, memory.Send(MessageOf(format, memory.Start)[cut..]));
                if (closes)
                    memory.Disconnect();
            }

            ulong hash = ClientProcess.Hash(_image);
            foreach ((int cut, Memory memory) in cuts.Zip(memories))
                Assert.True(client.HashRange(memory.Start, Length) == hash, $"cut behind byte {cut}");
        }
        finally
        {
            memories.ForEach(memory => memory.Dispose());
        }
    }

    private string Socket => _directory.Combine("fc.sock");

    private static string MessageOf(string format, ulong start) =>
        $"[{DecoderInput.Region(format, start, EmulatedVm.Page, 0, EmulatedVm.Page)},{DecoderInput.Region(format, start + EmulatedVm.Page, EmulatedVm.Page, EmulatedVm.Page, EmulatedVm.Page)}]";

    private Task<DaemonProcess> StartAsync()
    {
        _directory.WriteFile("mem.bin", _image);
        return DaemonProcess.StartAsync(
            $$"""
            {
              "policies": { "vm": { "source": { "kind": "client" } } },
              "tenants": { "vms": { "default": true, "defaultPolicy": "vm", "sourceDirectories": ["{{_directory.Path}}"] } },
              "snapshots": { "web": { "image": "mem.bin", "tenant": "vms", "socket": "{{Socket}}", "timeout": "60s" } }
            }
            """);
    }

    /// <summary>A part of the process's memory with a userfaultfd and a connection of its own.</summary>
    private sealed class Memory : IDisposable
    {
        private SafeSocketFd? _connection;

        public Memory(ClientProcess client, ulong start, ulong features, string socket)
        {
            Start = start;
            Uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
            client.Run($"api {number} {features}");
            client.Run($"register {number} {start} {Length} 1");
            int connection = (int)client.Run($"connect {socket} 1");
            _connection = client.Take<SafeSocketFd>(connection);
            client.Run($"close {connection}");
        }

        public ulong Start { get; }

        public SafeUffd Uffd { get; }

        public Errno Send(string text, params SafeFd[] descriptors) => UnixSocket.Send(_connection!, Encoding.UTF8.GetBytes(text), descriptors, dontWait: false);

        public void Disconnect()
        {
            _connection?.Dispose();
            _connection = null;
        }

        public void Dispose()
        {
            Disconnect();
            Uffd.Dispose();
        }
    }
}
