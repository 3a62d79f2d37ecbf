namespace UffdManager.Daemon.Images;

/// <summary>Names of images.</summary>
internal static class ImageName
{
    /// <summary>What stands before a name where a path could stand as well.</summary>
    public const string Prefix = "image:";

    private const int Longest = 64;

    /// <summary>Says what a name may be.</summary>
    public const string Rule = "a name has 1 to 64 of the characters a-z, A-Z, 0-9, -, _ and . and begins with a letter or digit";

    public static bool IsValid(string name) =>
        name.Length is > 0 and <= Longest && char.IsAsciiLetterOrDigit(name[0]) && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');
}
