namespace UffdManager.Daemon.Supervision;

/// <summary>
/// Text that the engine keeps with a source or an object for the manager that restores it: a version and fields, separated by spaces. Fields beyond those that a
/// reader knows are ignored.
/// </summary>
internal static class OwnerTag
{
    private const string Version = "1";

    /// <summary>Writes a tag.</summary>
    public static string Write(params ReadOnlySpan<string> fields)
    {
        string[] escaped = new string[fields.Length + 1];
        escaped[0] = Version;
        for (int i = 0; i < fields.Length; i++)
            escaped[i + 1] = Uri.EscapeDataString(fields[i]);
        return string.Join(' ', escaped);
    }

    /// <summary>Reads a tag.</summary>
    /// <param name="tag">What was written.</param>
    /// <param name="count">Fields that must be there.</param>
    /// <returns>Null when it is none of this version, or has fewer fields.</returns>
    public static string[]? TryRead(string tag, int count)
    {
        string[] parts = tag.Split(' ');
        return parts[0] == Version && parts.Length > count ? [.. parts[1..].Select(Uri.UnescapeDataString)] : null;
    }
}
