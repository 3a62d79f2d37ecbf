using System.Text;

namespace UffdManager.Daemon.Telemetry;

/// <summary>Label values from the names of enumeration members: <c>WriteProtect</c> is exported as <c>write_protect</c>.</summary>
internal static class SnakeCase
{
    /// <summary>All members of an enumeration whose values are 0, 1, 2, …, so that a value indexes its name.</summary>
    /// <exception cref="InvalidOperationException">The values have gaps.</exception>
    public static string[] NamesOf<TEnum>()
        where TEnum : struct, Enum
    {
        var values = Enum.GetValues<TEnum>();
        var names = new string[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            if (Convert.ToInt32(values[i]) != i)
            {
                throw new InvalidOperationException($"{typeof(TEnum).Name} is no label set: its values are not 0 to {values.Length - 1}.");
            }

            names[i] = From(values[i].ToString());
        }

        return names;
    }

    /// <summary>One name.</summary>
    public static string From(string pascalCase)
    {
        var name = new StringBuilder(pascalCase.Length + 4);
        foreach (char c in pascalCase)
        {
            if (char.IsAsciiLetterUpper(c) && name.Length > 0)
            {
                name.Append('_');
            }

            name.Append(char.ToLowerInvariant(c));
        }

        return name.ToString();
    }
}
