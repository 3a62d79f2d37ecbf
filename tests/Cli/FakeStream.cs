using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Threading.Channels;

namespace UffdManager.Cli.Tests;

/// <summary>A stream of documents that the test feeds; each reader of the resource takes what is there.</summary>
internal sealed class FakeStream
{
    private readonly Channel<string?> _chunks = Channel.CreateUnbounded<string?>();

    /// <summary>Completed when a client has asked.</summary>
    public TaskCompletionSource Asked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public FakeStream Write<T>(T document, JsonTypeInfo<T> type) => WriteText(JsonSerializer.Serialize(document, type) + "\n");

    /// <summary>Writes any part of the stream.</summary>
    public FakeStream WriteText(string text)
    {
        _chunks.Writer.TryWrite(text);
        return this;
    }

    /// <summary>Ends the answer in order.</summary>
    public FakeStream End()
    {
        _chunks.Writer.TryWrite("");
        return this;
    }

    /// <summary>Closes the connection in the middle of the answer.</summary>
    public FakeStream Break()
    {
        _chunks.Writer.TryWrite(null);
        return this;
    }

    public async Task WriteToAsync(NetworkStream stream, CancellationToken cancel)
    {
        Asked.TrySetResult();
        await foreach (string? chunk in _chunks.Reader.ReadAllAsync(cancel))
        {
            if (chunk is null)
            {
                stream.Close();
                return;
            }

            byte[] bytes = Encoding.UTF8.GetBytes(chunk);
            await stream.WriteAsync(Encoding.ASCII.GetBytes(bytes.Length.ToString("x", CultureInfo.InvariantCulture) + "\r\n"), cancel);
            await stream.WriteAsync(bytes, cancel);
            await stream.WriteAsync("\r\n"u8.ToArray(), cancel);
            if (chunk.Length == 0)
                return;
        }
    }
}
