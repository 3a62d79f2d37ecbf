using System.Security.Cryptography;

namespace UffdManager.Daemon.Dashboard;

/// <summary>The files of the page, which are part of the program.</summary>
internal sealed class DashboardAssets
{
    private readonly Dictionary<string, DashboardAsset> _byPath;

    public DashboardAssets()
    {
        _byPath = new(StringComparer.Ordinal)
        {
            ["/"] = Load("index.html", "text/html; charset=utf-8"),
            ["/dashboard.js"] = Load("dashboard.js", "text/javascript; charset=utf-8"),
            ["/dashboard.css"] = Load("dashboard.css", "text/css; charset=utf-8"),
            ["/dashboard.svg"] = Load("dashboard.svg", "image/svg+xml"),
        };
        Fingerprint = Tag(System.Text.Encoding.ASCII.GetBytes(string.Concat(_byPath.Values.Select(asset => asset.Tag))));
    }

    /// <summary>Changes when any of the files does.</summary>
    public string Fingerprint { get; }

    /// <summary>The file of a path; null when there is none.</summary>
    public DashboardAsset? Find(string path) => _byPath.GetValueOrDefault(path);

    private static DashboardAsset Load(string name, string contentType)
    {
        using Stream resource = typeof(DashboardAssets).Assembly.GetManifestResourceStream($"UffdManager.Daemon.Dashboard.{name}")
            ?? throw new InvalidOperationException($"{name} is not in the program");
        using MemoryStream bytes = new();
        resource.CopyTo(bytes);
        return new DashboardAsset(contentType, bytes.ToArray(), Tag(bytes.ToArray()));
    }

    private static string Tag(byte[] bytes) => $"\"{Convert.ToHexStringLower(SHA256.HashData(bytes).AsSpan(0, 12))}\"";
}
