using System.Text;

namespace UffdManager.Protocol;

/// <summary>The limits that both sides of the protocol keep. All lengths are in bytes of UTF-8.</summary>
public static class ProtocolLimits
{
    /// <summary>The version that this codec speaks.</summary>
    public const ushort Version = 1;

    /// <summary>Bytes of a header.</summary>
    public const int HeaderSize = 24;

    /// <summary>Bytes of the largest message, header included.</summary>
    public const int MaxMessage = 65536;

    /// <summary>Descriptors that one message may carry.</summary>
    public const int MaxDescriptors = 8;

    /// <summary>Longest label of a session.</summary>
    public const int MaxLabel = 64;

    /// <summary>Longest name of a policy.</summary>
    public const int MaxPolicy = 64;

    /// <summary>Longest name of a tenant.</summary>
    public const int MaxTenant = 64;

    /// <summary>Longest name of a mapped object.</summary>
    public const int MaxName = 64;

    /// <summary>Longest name of a state.</summary>
    public const int MaxState = 64;

    /// <summary>Longest text for people.</summary>
    public const int MaxText = 512;

    /// <summary>Longest path of a page source.</summary>
    public const int MaxSource = 4096;

    /// <summary>
    /// Shortens a text to at most <paramref name="maxBytes"/> bytes of UTF-8 without cutting a character in two, and replaces NUL, so
    /// that a text of foreign origin (a path in an error message) can always be sent.
    /// </summary>
    /// <param name="text">Any text.</param>
    /// <param name="maxBytes">Limit in bytes, 0 or more.</param>
    /// <returns>The text itself where it fits.</returns>
    public static string Clip(string text, int maxBytes)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentOutOfRangeException.ThrowIfNegative(maxBytes);
        if (text.Contains('\0', StringComparison.Ordinal))
            text = text.Replace('\0', '?');
        if (Encoding.UTF8.GetByteCount(text) <= maxBytes)
            return text;

        int bytes = 0, chars = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            bytes += rune.Utf8SequenceLength;
            if (bytes > maxBytes)
                break;
            chars += rune.Utf16SequenceLength;
        }

        return text[..chars];
    }
}
