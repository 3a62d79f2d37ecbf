using System.Net;
using System.Numerics;
using Microsoft.Extensions.Configuration;

namespace UffdManager.Daemon.Configuration;

/// <summary>Rules beyond the range of a single value. Every rule is checked; none stops the others.</summary>
internal static class ConfigurationRules
{
    private const int LongestName = 64;

    /// <summary>Reports keys that do not exist, with the nearest one that does.</summary>
    public static void CheckKeys(SettingsReader reader, IConfigurationRoot root)
    {
        foreach ((string key, string? value) in root.AsEnumerable())
        {
            if (value is null)
                continue;

            string path = key.Replace(':', '.');
            if (Settings.Find(path) is not null || IsListItem(path))
                continue;

            string pattern = Settings.Pattern(path);
            if (Settings.All.Any(setting => setting.Path.StartsWith(pattern + ".", StringComparison.OrdinalIgnoreCase))
                || (path.IndexOf('.', StringComparison.Ordinal) is var dot and > 0 && Settings.IsNamedSection(path[..dot]) && path.LastIndexOf('.') == dot))
            {
                reader.Fail(path, $"\"{value}\" is not allowed; it is a section and needs an object");
            }
            else if (IsBelowValue(path))
            {
                reader.Fail(path, "is below a key that takes a single value");
            }
            else
            {
                reader.Fail(path, $"is not a known key{Nearest(pattern)}");
            }
        }
    }

    public static bool CheckName(SettingsReader reader, string section, string name)
    {
        if (IsName(name))
            return true;

        reader.Fail($"{section}.{name}", $"is not a usable name; allowed are 1 to {LongestName} of the characters a-z, A-Z, 0-9, - and _");
        return false;
    }

    /// <summary>Whether a text can be the name of something.</summary>
    public static bool IsName(string name) =>
        name.Length is > 0 and <= LongestName && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_');

    public static void Check(SettingsReader reader, ManagerConfiguration configuration)
    {
        if (!IPAddress.TryParse(configuration.Metrics.Address, out _))
            reader.Fail("metrics.address", $"\"{configuration.Metrics.Address}\" is not allowed; allowed is an IPv4 or IPv6 address");

        if (configuration.Control.Enabled && configuration.Control.Socket == configuration.Listen.Socket)
            reader.Fail("control.socket", "must not be listen.socket: the two speak different protocols");

        if (!Uri.TryCreate(configuration.Otlp.Endpoint, UriKind.Absolute, out Uri? endpoint) || endpoint.Scheme is not ("http" or "https"))
            reader.Fail("otlp.endpoint", $"\"{configuration.Otlp.Endpoint}\" is not allowed; allowed is a http or https URL");

        foreach ((string name, PolicyOptions policy) in configuration.Policies)
            CheckPolicy(reader, $"policies.{name}", policy);

        CheckTenants(reader, configuration);
        SnapshotRules.Check(reader, configuration);
    }

    /// <summary>Finds a group's number in /etc/group; a number stands for itself.</summary>
    public static uint? ResolveGroup(SettingsReader reader, string path, string group)
    {
        uint? id = AccountNames.FindGroup(group);
        if (id is null)
            reader.Fail(path, $"\"{group}\" is not allowed; there is no such group in /etc/group, and it is no number");
        return id;
    }

    /// <summary>Finds the numbers of USER:GROUP, USER or :GROUP.</summary>
    public static (uint? Uid, uint? Gid) ResolveOwner(SettingsReader reader, string path, string owner)
    {
        if (AccountNames.TryFindOwner(owner, out (uint? Uid, uint? Gid) ids, out string? problem))
            return ids;
        reader.Fail(path, $"\"{owner}\" is not allowed; {problem}");
        return default;
    }

    private static void CheckPolicy(SettingsReader reader, string path, PolicyOptions policy)
    {
        bool isFile = policy.Source.Kind == PolicySourceKind.File;
        if (isFile && policy.Source.Path is null && !reader.IsSet($"{path}.source.path"))
            reader.Fail($"{path}.source.path", "is required for source.kind file: an absolute path");
        if (!isFile && policy.Source.Path is not null)
            reader.Fail($"{path}.source.path", $"is only allowed for source.kind file, not {policy.Source.Kind.ToString().ToLowerInvariant()}");
        bool isImage = policy.Source.Kind == PolicySourceKind.Image;
        if (isImage && policy.Source.Image is null && !reader.IsSet($"{path}.source.image"))
            reader.Fail($"{path}.source.image", "is required for source.kind image: the name of an image that was added");
        if (!isImage && policy.Source.Image is not null)
            reader.Fail($"{path}.source.image", $"is only allowed for source.kind image, not {policy.Source.Kind.ToString().ToLowerInvariant()}");
        if (!isFile && !isImage && policy.Source.Offset != 0)
            reader.Fail($"{path}.source.offset", "is only allowed for source.kind file and image");
        if (policy.Source.Offset % 4096 != 0)
            reader.Fail($"{path}.source.offset", $"\"{policy.Source.Offset}\" is not allowed; allowed are multiples of 4096");
        if (policy.FaultAroundBytes is not 0 && (policy.FaultAroundBytes < 4096 || !BitOperations.IsPow2(policy.FaultAroundBytes)))
            reader.Fail($"{path}.faultAroundBytes", $"\"{policy.FaultAroundBytes}\" is not allowed; allowed is 0 or a power of two from 4KiB to 2MiB");
        if (policy.RetryBackoff > policy.Deadline)
            reader.Fail($"{path}.retryBackoff", $"must not be longer than the deadline, {SettingText.FormatDuration(policy.Deadline)}");
    }

    private static void CheckTenants(SettingsReader reader, ManagerConfiguration configuration)
    {
        if (configuration.Tenants.Count == 0)
            reader.Fail("tenants", "none is configured, so every client would be refused; name at least one");

        string? defaultTenant = null;
        Dictionary<string, string> claims = new(StringComparer.Ordinal);
        foreach ((string name, TenantOptions tenant) in configuration.Tenants)
        {
            string path = $"tenants.{name}";
            if (tenant.Default && defaultTenant is not null)
                reader.Fail($"{path}.default", $"is true, and so is tenants.{defaultTenant}.default; only one tenant may be the default");
            if (tenant.Default)
                defaultTenant ??= name;
            else if (!reader.IsSet($"{path}.match.uids") && !reader.IsSet($"{path}.match.gids") && !reader.IsSet($"{path}.match.cgroups"))
                reader.Fail($"{path}.match", "is empty and the tenant is not the default one, so no client would ever match");

            foreach (string claim in Claims(tenant.Match))
            {
                if (!claims.TryAdd(claim, name))
                    reader.Fail($"{path}.match", $"{claim} belongs to tenants.{claims[claim]} already");
            }

            CheckPolicyName(reader, configuration, $"{path}.defaultPolicy", tenant.DefaultPolicy);
            foreach (string policy in tenant.Policies.Where(policy => policy != "*"))
                CheckPolicyName(reader, configuration, $"{path}.policies", policy);
        }
    }

    private static IEnumerable<string> Claims(TenantMatchOptions match) =>
        match.Cgroups.Select(cgroup => $"cgroup {cgroup.TrimEnd('/')}")
            .Concat(match.Uids.Select(uid => $"uid {uid}"))
            .Concat(match.Gids.Select(gid => $"gid {gid}"));

    private static void CheckPolicyName(SettingsReader reader, ManagerConfiguration configuration, string path, string policy)
    {
        if (policy.Length > 0 && !configuration.Policies.ContainsKey(policy))
        {
            string known = configuration.Policies.Count == 0 ? "none is configured" : string.Join(", ", configuration.Policies.Keys);
            reader.Fail(path, $"\"{policy}\" is not allowed; allowed are the names under policies: {known}");
        }
    }

    private static bool IsListItem(string path)
    {
        int dot = path.LastIndexOf('.');
        return dot > 0 && SettingText.ParseInteger(path[(dot + 1)..]) is >= 0 && Settings.Find(path[..dot]) is { IsList: true };
    }

    private static bool IsBelowValue(string path)
    {
        for (int dot = path.LastIndexOf('.'); dot > 0; dot = path.LastIndexOf('.', dot - 1))
        {
            if (Settings.Find(path[..dot]) is not null)
                return true;
        }

        return false;
    }

    private static string Nearest(string pattern)
    {
        (string? best, int distance) = (null, int.MaxValue);
        foreach (Setting setting in Settings.All)
        {
            int d = Distance(pattern, setting.Path);
            if (d < distance)
                (best, distance) = (setting.Path, d);
        }

        return distance <= 3 ? $"; did you mean {best}?" : "";
    }

    // Levenshtein's distance, two rows.
    private static int Distance(string a, string b)
    {
        int[] previous = [.. Enumerable.Range(0, b.Length + 1)];
        int[] current = new int[b.Length + 1];
        for (int i = 1; i <= a.Length; i++)
        {
            current[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int substitution = previous[j - 1] + (char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]) ? 0 : 1);
                current[j] = Math.Min(substitution, Math.Min(previous[j], current[j - 1]) + 1);
            }

            (previous, current) = (current, previous);
        }

        return previous[b.Length];
    }
}
