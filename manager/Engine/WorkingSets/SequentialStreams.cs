namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// Who reads forward: where each of a few streams will fault next, and how far ahead it is served. A fault that goes on where a window ended doubles
/// the next one; any other begins a stream in the place of the one that was quiet for longest. Belongs to the fault loop.
/// </summary>
internal sealed class SequentialStreams
{
    /// <summary>Bytes of the largest window: what a fault may have to wait for.</summary>
    public const ulong MaximumWindow = 256 * 1024;

    /// <summary>Bytes of the first window that is ahead of its fault.</summary>
    public const ulong FirstWindow = 16 * 1024;

    private const int Streams = 8;

    private readonly ulong[] _next = new ulong[Streams];
    private readonly ulong[] _window = new ulong[Streams];
    private readonly long[] _usedAt = new long[Streams];
    private long _faults;
    private int _current;

    /// <summary>Bytes from a fault's page on that are worth installing at once; 0 for the page alone.</summary>
    public ulong WindowAt(ulong page)
    {
        int stream = 0;
        for (int i = 0; i < Streams; i++)
        {
            if (_next[i] == page && page != 0)
            {
                stream = i;
                break;
            }

            stream = _usedAt[i] < _usedAt[stream] ? i : stream;
        }

        bool goesOn = _next[stream] == page && page != 0;
        _window[stream] = goesOn ? Math.Clamp(_window[stream] * 2, FirstWindow, MaximumWindow) : 0;
        _usedAt[stream] = ++_faults;
        _current = stream;
        return _window[stream];
    }

    /// <summary>Where the window ends that was installed for the last fault.</summary>
    public void Installed(ulong end) => _next[_current] = end;
}
