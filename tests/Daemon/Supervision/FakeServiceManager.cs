using System.Text;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>
/// The service manager's end of a notify socket, in the process of the test: reads messages, keeps what it is given as systemd does, and remembers everything it was told.
/// </summary>
internal sealed class FakeServiceManager : IDisposable
{
    private readonly SafeSocketFd _socket;
    private readonly Lock _gate = new();
    private readonly List<NotifyMessage> _messages = [];
    private readonly List<(string Name, SafeFile Descriptor)> _store = [];
    private readonly ManualResetEventSlim _mayRead = new(initialState: true);
    private readonly Thread _reader;
    private volatile bool _stopping;

    /// <param name="keeps">Whether it has a descriptor store.</param>
    /// <param name="address">Where to receive; an abstract name of its own if null.</param>
    public FakeServiceManager(bool keeps = true, string? address = null)
    {
        Keeps = keeps;
        Address = address ?? $"@uffd-test-{Guid.NewGuid():N}";
        _socket = UnixSocket.BindDatagram(Address);
        UnixSocket.SetTimeout(_socket, TimeSpan.FromMilliseconds(50));
        _reader = new Thread(Read) { IsBackground = true, Name = "service manager" };
        _reader.Start();
    }

    /// <summary>Value of $NOTIFY_SOCKET.</summary>
    public string Address { get; }

    /// <summary>Whether it keeps descriptors, from the next message on.</summary>
    public bool Keeps { get; set; }

    /// <summary>Messages at which it stops reading, as <see cref="Pause"/> does; null for none.</summary>
    public Func<NotifyMessage, bool>? PausesAt { get; set; }

    /// <summary>Whether it leaves those who ask for a barrier waiting, although it has read what came before.</summary>
    public bool HoldsBarriers { get; set; }

    /// <summary>Everything it was told so far.</summary>
    public IReadOnlyList<NotifyMessage> Messages
    {
        get
        {
            lock (_gate)
                return [.. _messages];
        }
    }

    /// <summary>Names of what it keeps, in the order of storing.</summary>
    public IReadOnlyList<string> Names
    {
        get
        {
            lock (_gate)
                return [.. _store.Select(kept => kept.Name)];
        }
    }

    /// <summary>Lets messages lie in the socket, or reads them again.</summary>
    public void Pause(bool paused)
    {
        if (paused)
            _mayRead.Reset();
        else
            _mayRead.Set();
    }

    /// <summary>Reads nothing more, and leaves room for nobody, as strangers can bring about, until <see cref="Drain"/>.</summary>
    /// <remarks>
    /// A sender's own buffer has room for some 277 small messages, the queue of a receiver for as many as net.unix.max_dgram_qlen said when it was made: 10, or 512 where systemd has started. So whether
    /// the queue is full is told by the first message of a new sender alone.
    /// </remarks>
    public void Fill()
    {
        string halt = $"STATUS=halt {Guid.NewGuid():N}";
        PausesAt = message => message.Text == halt;
        using (SafeSocketFd last = UnixSocket.ConnectDatagram(Address))
            Assert.Equal(Errno.OK, UnixSocket.Send(last, Encoding.UTF8.GetBytes(halt), [], dontWait: false));
        WaitFor(message => message.Text == halt, "the last message that is read");
        bool hadRoom;
        do
        {
            hadRoom = false;
            using SafeSocketFd other = UnixSocket.ConnectDatagram(Address);
            while (UnixSocket.Send(other, "STATUS=flood"u8, [], dontWait: true) == Errno.OK)
                hadRoom = true;
        }
        while (hadRoom);
    }

    /// <summary>Reads all that has been sent since <see cref="Fill"/>, and goes on.</summary>
    public void Drain()
    {
        PausesAt = null;
        Pause(false);
    }

    /// <summary>Waits until it was told something.</summary>
    public NotifyMessage WaitFor(Func<NotifyMessage, bool> what, string words)
    {
        NotifyMessage? found = null;
        Eventually.True(() => (found = Messages.FirstOrDefault(what)) is not null, TimeSpan.FromSeconds(60), words);
        return found!;
    }

    /// <summary>Waits until something is kept under a name.</summary>
    public void WaitForName(string prefix) =>
        Eventually.True(() => Names.Any(name => name.StartsWith(prefix, StringComparison.Ordinal)), TimeSpan.FromSeconds(60), $"{prefix} in the store");

    /// <summary>Duplicates of what it keeps, to start the next process with.</summary>
    public List<(string Name, SafeFd Descriptor)> Lend()
    {
        lock (_gate)
            return [.. _store.Select(kept => (kept.Name, (SafeFd)kept.Descriptor.Duplicate<SafeFile>()))];
    }

    /// <summary>Puts something into the store that nobody sent.</summary>
    public void Plant(string name, SafeFile descriptor)
    {
        lock (_gate)
            _store.Add((name, descriptor));
    }

    /// <summary>Takes something out of the store.</summary>
    public void Lose(string name)
    {
        lock (_gate)
        {
            _store.Where(kept => kept.Name == name).ToList().ForEach(kept => kept.Descriptor.Dispose());
            _store.RemoveAll(kept => kept.Name == name);
        }
    }

    /// <summary>Forgets what it was told, not what it keeps.</summary>
    public void Forget()
    {
        lock (_gate)
            _messages.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stopping = true;
        _mayRead.Set();
        _reader.Join();
        _socket.Dispose();
        _store.ForEach(kept => kept.Descriptor.Dispose());
        _mayRead.Dispose();
    }

    private void Read()
    {
        byte[] buffer = new byte[65536];
        while (!_stopping)
        {
            _mayRead.Wait();
            using DescriptorSet descriptors = new();
            if (UnixSocket.Receive(_socket, buffer, descriptors, dontWait: false, out ReceivedMessage received) != Errno.OK)
                continue;
            NotifyMessage message = new(Encoding.UTF8.GetString(buffer, 0, received.Length), descriptors.Count);

            // Whoever sees the message, and lets it read again, must not be overtaken.
            if (PausesAt?.Invoke(message) == true)
                _mayRead.Reset();
            lock (_gate)
            {
                if (message.Has("FDSTORE=1") && Keeps)
                {
                    for (int i = 0; i < descriptors.Count; i++)
                        _store.Add((message.Value("FDNAME") ?? "stored", descriptors.Take<SafeFile>(i)));
                }

                if (message.Has("BARRIER=1") && HoldsBarriers)
                    _store.Add(("barrier", descriptors.Take<SafeFile>(0)));
                _messages.Add(message);
            }

            if (message.Has("FDSTOREREMOVE=1"))
                Lose(message.Value("FDNAME")!);
        }
    }
}
