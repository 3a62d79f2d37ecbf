using System.Globalization;

namespace UffdManager.Cli;

/// <summary>Addresses on the command line: hexadecimal as /proc has them with 0x before, or decimal.</summary>
internal static class AddressArgument
{
    public static bool TryParse(string? text, out ulong address)
    {
        if (text is not null && text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
            return ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out address);
        return ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out address);
    }
}
