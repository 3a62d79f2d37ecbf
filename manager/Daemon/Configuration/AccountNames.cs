namespace UffdManager.Daemon.Configuration;

/// <summary>Numbers of users and groups by their names in /etc/passwd and /etc/group. A number stands for itself.</summary>
internal static class AccountNames
{
    /// <summary>The number of a user; null if there is none.</summary>
    public static uint? FindUser(string name) => Find("/etc/passwd", name);

    /// <summary>The number of a group; null if there is none.</summary>
    public static uint? FindGroup(string name) => Find("/etc/group", name);

    /// <summary>Reads USER:GROUP, USER or :GROUP.</summary>
    /// <param name="owner">The text.</param>
    /// <param name="ids">Null for what is not given.</param>
    /// <param name="problem">What is wrong with it.</param>
    public static bool TryFindOwner(string owner, out (uint? Uid, uint? Gid) ids, out string? problem)
    {
        string[] parts = owner.Split(':');
        string user = parts[0];
        string group = parts.Length > 1 ? parts[1] : "";
        ids = (FindUser(user), FindGroup(group));
        problem = parts.Length > 2 || user.Length + group.Length == 0 ? "allowed is USER:GROUP, USER or :GROUP"
            : user.Length > 0 && ids.Uid is null ? $"there is no user {user} in /etc/passwd, and it is no number"
            : group.Length > 0 && ids.Gid is null ? $"there is no group {group} in /etc/group, and it is no number"
            : null;
        return problem is null;
    }

    // Both files have the name first and its number third.
    private static uint? Find(string file, string name)
    {
        if (SettingText.ParseId(name) is { } number)
            return number;
        if (name.Length == 0 || !File.Exists(file))
            return null;
        foreach (string line in File.ReadLines(file))
        {
            string[] fields = line.Split(':');
            if (fields.Length >= 3 && string.Equals(fields[0], name, StringComparison.Ordinal) && SettingText.ParseId(fields[2]) is { } id)
                return id;
        }

        return null;
    }
}
