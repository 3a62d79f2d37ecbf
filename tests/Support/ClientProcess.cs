using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.TestSupport;

/// <summary>
/// A foreign process that does as it is told: tests/native/uffd-client, whose main.c says where its commands are listed. Each command names
/// a thread of the client, so one thread may sleep in a page fault while others go on. All waiting has a deadline, and Dispose kills by pidfd.
/// </summary>
public sealed partial class ClientProcess : IDisposable
{
    private readonly ConcurrentDictionary<long, (string Command, TaskCompletionSource<ClientReply> Done)> _pending = new();
    private readonly ConcurrentQueue<SafeFile> _descriptors = new();
    private readonly Lock _sendLock = new();
    private readonly ClientListener _listener;
    private readonly bool _ownsListener;
    private readonly Process? _process;
    private readonly SafeSocketFd _channel;
    private readonly SafePidFd _pidFd;
    private readonly Thread _reader;
    private long _lastId;

    private ClientProcess(ClientListener listener, Process? process, SafeSocketFd channel, int pid)
    {
        _listener = listener;
        _ownsListener = process is not null;
        _process = process;
        _channel = channel;
        Pid = pid;
        _pidFd = PidFd.TryOpen(pid, out Errno errno) ?? throw new SyscallException(errno, "pidfd_open", $"{pid}");
        _reader = new Thread(ReadReplies) { IsBackground = true, Name = $"client {pid}" };
        _reader.Start();
    }

    /// <summary>The process's number.</summary>
    public int Pid { get; }

    /// <summary>Names the process; stays the client's own, do not dispose.</summary>
    public SafePidFd Handle => _pidFd;

    /// <summary>True once the process has exited.</summary>
    public bool HasExited => PidFd.HasExited(_pidFd);

    /// <summary>Builds and starts a client.</summary>
    public static ClientProcess Start()
    {
        string program = NativeProgram.Build("uffd-client", "-D_GNU_SOURCE");
        ClientListener listener = new();
        Process process = Process.Start(program, [listener.Path]);
        (SafeSocketFd channel, int pid) = listener.Accept();
        return new ClientProcess(listener, process, channel, pid);
    }

    /// <summary>Waits for a process that this client forked (or became by exec) and that has said hello.</summary>
    public ClientProcess AcceptChild()
    {
        (SafeSocketFd channel, int pid) = _listener.Accept();
        return new ClientProcess(_listener, null, channel, pid);
    }

    /// <summary>Gives a command to thread <paramref name="thread"/> and does not wait.</summary>
    /// <param name="command">The command line.</param>
    /// <param name="thread">0 to 127; made when first named.</param>
    /// <param name="descriptor">Goes with the command (<c>recvfd</c>); borrowed.</param>
    public PendingReply Begin(string command, int thread = 0, SafeFd? descriptor = null)
    {
        TaskCompletionSource<ClientReply> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        long id = Interlocked.Increment(ref _lastId);
        _pending[id] = (command, done);
        byte[] text = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{id} {thread} {command}"));
        Errno errno;
        lock (_sendLock)
            errno = UnixSocket.Send(_channel, text, descriptor is null ? [] : [descriptor], dontWait: false);
        if (errno != Errno.OK && _pending.TryRemove(id, out _))
            done.SetException(new SyscallException(errno, "sendmsg", command));
        return new PendingReply(command, done.Task);
    }

    /// <summary>Gives a command and waits for the answer, whatever it is.</summary>
    public ClientReply Try(string command, int thread = 0) => Begin(command, thread).Await();

    /// <summary>Gives a command that must succeed; the answer's first number.</summary>
    public ulong Run(string command, int thread = 0) => Begin(command, thread).AwaitValue();

    /// <summary>Passes a descriptor (borrowed) to the client; its number there.</summary>
    public int Give(SafeFd descriptor) => (int)Begin("recvfd", 0, descriptor).AwaitValue();

    /// <summary>Takes a duplicate of the client's descriptor; the caller owns it.</summary>
    public T Take<T>(int number)
        where T : SafeFd, IAdoptsFd<T>
    {
        Run($"sendfd {number}");
        Assert.True(_descriptors.TryDequeue(out SafeFile? file), "the client sent no descriptor");
        return T.Adopt(file.Disown());
    }

    /// <summary>Kills the process and waits until it is gone.</summary>
    public void Kill()
    {
        _ = PidFd.SendSignal(_pidFd, 9);
        Assert.True(PidFd.WaitForExit(_pidFd, Eventually.DefaultDeadline), $"client {Pid} does not die");
    }

    /// <summary>Waits for the process to exit by itself.</summary>
    public void WaitForExit() => Assert.True(PidFd.WaitForExit(_pidFd, Eventually.DefaultDeadline), $"client {Pid} does not exit");

    /// <inheritdoc/>
    public void Dispose()
    {
        Kill();
        _reader.Join();
        _channel.Dispose();
        _pidFd.Dispose();
        while (_descriptors.TryDequeue(out SafeFile? file))
            file.Dispose();
        _process?.WaitForExit();
        _process?.Dispose();
        if (_ownsListener)
            _listener.Dispose();
    }

    private void ReadReplies()
    {
        byte[] buffer = new byte[2048];
        using DescriptorSet descriptors = new();
        while (UnixSocket.Receive(_channel, buffer, descriptors, dontWait: false, out ReceivedMessage message) == Errno.OK
               && !message.EndOfStream)
        {
            for (int i = 0; i < descriptors.Count; i++)
                _descriptors.Enqueue(descriptors.Take<SafeFile>(i));
            descriptors.Clear();
            Complete(Encoding.ASCII.GetString(buffer, 0, message.Length));
        }

        foreach (long id in _pending.Keys)
        {
            if (_pending.TryRemove(id, out (string Command, TaskCompletionSource<ClientReply> Done) lost))
                lost.Done.SetException(new EndOfStreamException($"The client died over: {lost.Command}"));
        }
    }

    private void Complete(string reply)
    {
        string[] words = reply.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (!_pending.TryRemove(long.Parse(words[0], CultureInfo.InvariantCulture), out (string Command, TaskCompletionSource<ClientReply> Done) entry))
            return;
        ulong[] values = Array.ConvertAll(words[2..], w => w[0] == '-' ? (ulong)long.Parse(w, CultureInfo.InvariantCulture) : ulong.Parse(w, CultureInfo.InvariantCulture));
        entry.Done.SetResult(words[1] switch
        {
            "ok" => new ClientReply(entry.Command, Errno.OK, 0, values),
            "err" => new ClientReply(entry.Command, (Errno)values[0], 0, []),
            "sig" => new ClientReply(entry.Command, Errno.OK, (int)values[0], values[1..]),
            _ => throw new FormatException(reply),
        });
    }
}
