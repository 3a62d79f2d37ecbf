using System.Text.Json;

namespace UffdManager.Engine.State;

/// <summary>Texts of documents that are for people: as much of them as there is room for.</summary>
internal static class LogText
{
    private const string Mark = "...";

    /// <summary>The end of a text, which of a path tells most; all of it where it fits. To clip what was clipped changes nothing.</summary>
    /// <param name="text">Any text.</param>
    /// <param name="mostBytes">As a string of JSON, where a letter takes up to six bytes, without its quotes; at least 9.</param>
    public static string Tail(string text, int mostBytes)
    {
        if (Measure(text) <= mostBytes)
        {
            return text;
        }

        int first = text.Length;
        int room = mostBytes - Mark.Length;
        while (first > 0)
        {
            int next = first > 1 && char.IsSurrogatePair(text[first - 2], text[first - 1]) ? first - 2 : first - 1;
            room -= Measure(text.AsSpan(next, first - next));
            if (room < 0)
            {
                break;
            }

            first = next;
        }

        return string.Concat(Mark, text.AsSpan(first));
    }

    private static int Measure(ReadOnlySpan<char> text) => JsonEncodedText.Encode(text).EncodedUtf8Bytes.Length;
}
