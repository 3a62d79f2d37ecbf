using System.Globalization;

namespace UffdManager.Protocol.Tests;

/// <summary>One file of protocol/vectors: what is expected, then the bytes with their comments.</summary>
internal sealed class Vector
{
    private Vector()
    {
    }

    public string Expect { get; private set; } = "";

    public int Descriptors { get; private set; }

    public ushort Type { get; private set; }

    public uint RequestId { get; private set; }

    public ushort Flags { get; private set; }

    public Dictionary<string, string> Fields { get; } = new(StringComparer.Ordinal);

    public byte[] Bytes { get; private set; } = [];

    public static string Folder => Path.Combine(AppContext.BaseDirectory, "vectors");

    public static IEnumerable<string> Names(bool sound) => Directory.EnumerateFiles(Folder, "*.hex")
        .Select(path => Path.GetFileNameWithoutExtension(path)!)
        .Where(name => name.StartsWith("bad-", StringComparison.Ordinal) != sound)
        .Order(StringComparer.Ordinal);

    public static Vector Read(string name)
    {
        var vector = new Vector();
        List<byte> bytes = [];
        bool inBytes = false;
        foreach (string line in File.ReadLines(Path.Combine(Folder, name + ".hex")))
        {
            if (line.StartsWith('#'))
                continue;
            if (inBytes)
                bytes.AddRange(Convert.FromHexString(line.Split('#')[0].Replace(" ", "", StringComparison.Ordinal)));
            else if (line == "bytes")
                inBytes = true;
            else
                vector.Directive(line);
        }

        vector.Bytes = [.. bytes];
        return vector;
    }

    private void Directive(string line)
    {
        string[] words = line.Split(' ', 3);
        switch (words[0])
        {
            case "expect":
                Expect = words[1];
                break;
            case "frame":
                // Only the C side, which checks the frame alone, has a use for it.
                break;
            case "descriptors":
                Descriptors = int.Parse(words[1], CultureInfo.InvariantCulture);
                break;
            case "type":
                Type = ushort.Parse(words[1], CultureInfo.InvariantCulture);
                break;
            case "request_id":
                RequestId = uint.Parse(words[1], CultureInfo.InvariantCulture);
                break;
            case "flags":
                Flags = ushort.Parse(words[1], CultureInfo.InvariantCulture);
                break;
            case "field" or "string":
                Fields.Add(words[1], words.Length > 2 ? words[2] : "");
                break;
            default:
                throw new FormatException($"Not a directive of a vector: {line}");
        }
    }
}
