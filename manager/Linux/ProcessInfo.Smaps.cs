using System.Globalization;

namespace UffdManager.Linux;

/// <content>The mappings of a process.</content>
public static partial class ProcessInfo
{
    /// <summary>
    /// The mappings of <paramref name="pid"/> in ascending order; empty when it is gone or not ours to look at. The kernel writes the file
    /// page by page, so a process that maps meanwhile may show a moment that never was.
    /// </summary>
    public static IReadOnlyList<VmaInfo> ReadSmaps(int pid) =>
        ReadText($"/proc/{pid}/smaps") is { } text ? ParseSmaps(text) : [];

    internal static IReadOnlyList<VmaInfo> ParseSmaps(string text)
    {
        List<VmaInfo> result = [];
        VmaInfo? current = null;
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            if (TryParseHeader(line, out VmaInfo? header))
            {
                if (current is not null)
                    result.Add(current);
                current = header;
            }
            else if (current is not null)
            {
                current = WithDetail(current, line);
            }
        }

        if (current is not null)
            result.Add(current);
        return result;
    }

    private static bool TryParseHeader(ReadOnlySpan<char> line, out VmaInfo? vma)
    {
        // 7f00-7f10 rw-p 00000000 00:00 0    [path]; attribute lines have a colon in their first word.
        vma = null;
        Span<Range> parts = stackalloc Range[6];
        int count = line.Split(parts, ' ', StringSplitOptions.RemoveEmptyEntries);
        int dash = line.IndexOf('-');
        if (count < 5 || dash <= 0 || line[parts[0]].Contains(':'))
            return false;
        ReadOnlySpan<char> range = line[parts[0]];
        ReadOnlySpan<char> permissions = line[parts[1]];
        if (permissions.Length != 4 || !TryHex(range[..dash], out ulong start) || !TryHex(range[(dash + 1)..], out ulong end)
            || !TryHex(line[parts[2]], out ulong offset) || !ulong.TryParse(line[parts[4]], CultureInfo.InvariantCulture, out ulong inode))
            return false;
        string path = count == 6 ? line[parts[5]].Trim().ToString() : "";
        PageProtection protection = (permissions[0] == 'r' ? PageProtection.Read : PageProtection.None)
            | (permissions[1] == 'w' ? PageProtection.Write : PageProtection.None)
            | (permissions[2] == 'x' ? PageProtection.Execute : PageProtection.None);
        vma = new VmaInfo(start, end, protection, permissions[3] == 's', offset, inode, path, 4096, UffdRegisterModes.None, "", 0);
        return true;
    }

    private static VmaInfo WithDetail(VmaInfo vma, ReadOnlySpan<char> line)
    {
        if (line.StartsWith("KernelPageSize:", StringComparison.Ordinal))
            return vma with { PageSize = Kibibytes(line["KernelPageSize:".Length..]) };
        if (line.StartsWith("Rss:", StringComparison.Ordinal))
            return vma with { ResidentBytes = Kibibytes(line["Rss:".Length..]) };
        if (!line.StartsWith("VmFlags:", StringComparison.Ordinal))
            return vma;
        vma = vma with { Flags = line["VmFlags:".Length..].Trim().ToString() };
        UffdRegisterModes modes = (vma.HasFlag("um") ? UffdRegisterModes.Missing : UffdRegisterModes.None)
            | (vma.HasFlag("uw") ? UffdRegisterModes.WriteProtect : UffdRegisterModes.None)
            | (vma.HasFlag("ui") ? UffdRegisterModes.Minor : UffdRegisterModes.None);
        return vma with { UffdModes = modes };
    }

    private static ulong Kibibytes(ReadOnlySpan<char> text)
    {
        text = text.Trim();
        int blank = text.IndexOf(' ');
        return ulong.Parse(blank < 0 ? text : text[..blank], CultureInfo.InvariantCulture) * 1024;
    }

    private static bool TryHex(ReadOnlySpan<char> text, out ulong value) =>
        ulong.TryParse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out value);
}
