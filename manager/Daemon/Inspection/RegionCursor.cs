using System.Globalization;

namespace UffdManager.Daemon.Inspection;

/// <summary>Where a list of regions goes on: in a session, behind an address. Written as "SESSION:0xADDRESS".</summary>
/// <param name="Session">Session id; those below it are done.</param>
/// <param name="From">Regions of that session that end above this address are not.</param>
internal readonly record struct RegionCursor(long Session, ulong From)
{
    public static bool TryParse(string text, out RegionCursor cursor)
    {
        cursor = default;
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0
            || !long.TryParse(text[..colon], NumberStyles.None, CultureInfo.InvariantCulture, out long session)
            || !TryParseAddress(text[(colon + 1)..], out ulong from))
        {
            return false;
        }

        cursor = new RegionCursor(session, from);
        return true;
    }

    /// <summary>Reads an address, hexadecimal with 0x or decimal.</summary>
    public static bool TryParseAddress(string text, out ulong address) => text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
        ? ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out address)
        : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out address);

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Session}:{Words.Address(From)}");
}
