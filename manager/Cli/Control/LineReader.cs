namespace UffdManager.Cli.Control;

/// <summary>Takes a stream apart into lines, which may be long.</summary>
internal sealed class LineReader(Stream stream)
{
    // A frame of a thousand sessions is half a megabyte; what is far longer is no line of ours.
    private const int LongestLine = 64 << 20;

    private byte[] _buffer = new byte[16384];
    private int _begin;
    private int _end;

    /// <summary>The next line without its end; null when the stream is over. Valid until the next call.</summary>
    /// <exception cref="IOException">The stream ended within a line, or the line is too long.</exception>
    public async Task<ReadOnlyMemory<byte>?> ReadAsync(CancellationToken cancel)
    {
        int searched = _begin;
        while (true)
        {
            int newline = _buffer.AsSpan(searched, _end - searched).IndexOf((byte)'\n');
            if (newline >= 0)
            {
                ReadOnlyMemory<byte> line = _buffer.AsMemory(_begin, searched + newline - _begin);
                _begin = searched + newline + 1;
                return line;
            }

            int length = _end - _begin;
            MakeRoom();
            searched = length;
            int count = await stream.ReadAsync(_buffer.AsMemory(_end), cancel);
            if (count == 0)
                return length == 0 ? null : throw new IOException("the stream ends within a line");
            _end += count;
        }
    }

    private void MakeRoom()
    {
        int length = _end - _begin;
        if (length > LongestLine)
            throw new IOException($"a line of the stream is longer than {LongestLine} bytes");
        byte[] target = length > _buffer.Length / 2 ? new byte[_buffer.Length * 2] : _buffer;
        _buffer.AsSpan(_begin, length).CopyTo(target);
        (_buffer, _begin, _end) = (target, 0, length);
    }
}
