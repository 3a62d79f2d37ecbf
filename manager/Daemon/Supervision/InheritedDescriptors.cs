using System.Globalization;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Daemon.Supervision;

/// <summary>
/// The descriptors that the service manager started this process with (sd_listen_fds(3)): listening sockets, and what an earlier manager stored. Owns each
/// until it is taken.
/// </summary>
internal sealed class InheritedDescriptors : IDisposable
{
    /// <summary>The listening socket of the native protocol.</summary>
    public const string Native = "native";

    /// <summary>The listening socket of the control interface.</summary>
    public const string Control = "control";

    /// <summary>What nobody named.</summary>
    public const string Unknown = "unknown";

    private const int First = 3;
    private const string SessionPrefix = "session-";
    private static readonly string[] s_variables = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"];
    private static readonly string[] s_ofEngine = [SessionPrefix, "source-", "image-"];

    private readonly List<StoredDescriptor> _descriptors;
    private readonly List<string> _problems;
    private Action<string>? _tell;

    private InheritedDescriptors(List<StoredDescriptor> descriptors, List<string> problems)
    {
        _descriptors = descriptors;
        _problems = problems;
    }

    /// <summary>What is wrong with what came in, one sentence each.</summary>
    public IReadOnlyList<string> Problems => _problems;

    /// <summary>Names of what came in and was not taken yet.</summary>
    public IEnumerable<string> Names => _descriptors.Select(inherited => inherited.Name);

    /// <summary>Whether sessions of an earlier manager are among them.</summary>
    public bool HoldsSessions => Names.Any(name => name.StartsWith(SessionPrefix, StringComparison.Ordinal));

    /// <summary>Descriptors that nobody has taken yet.</summary>
    public int Count => _descriptors.Count;

    /// <summary>
    /// Takes over every descriptor that came in, closes none of them, and forgets the variables, so that no program started from here believes itself meant. To be
    /// called once, before anything else: until then a descriptor has no owner, and is not close-on-exec.
    /// </summary>
    public static InheritedDescriptors Adopt()
    {
        string?[] values = Array.ConvertAll(s_variables, Environment.GetEnvironmentVariable);
        foreach (string variable in s_variables)
            Environment.SetEnvironmentVariable(variable, null);
        return Parse(values[0], values[1], values[2], Environment.ProcessId, InheritedFd.TryAdopt);
    }

    /// <summary>The same with given variables.</summary>
    /// <param name="pid">$LISTEN_PID.</param>
    /// <param name="count">$LISTEN_FDS.</param>
    /// <param name="names">$LISTEN_FDNAMES.</param>
    /// <param name="ownPid">The process that the descriptors must be meant for.</param>
    /// <param name="adopt">Takes a descriptor over by its number; null when it is not open.</param>
    internal static InheritedDescriptors Parse(string? pid, string? count, string? names, int ownPid, Func<int, SafeFile?> adopt)
    {
        List<StoredDescriptor> descriptors = [];
        List<string> problems = [];
        if (string.IsNullOrEmpty(pid) && string.IsNullOrEmpty(count))
            return new InheritedDescriptors(descriptors, problems);
        if (!int.TryParse(pid, NumberStyles.None, CultureInfo.InvariantCulture, out int meant))
        {
            problems.Add($"$LISTEN_PID is \"{pid}\", which is not a process: no descriptor is taken over");
        }
        else if (meant != ownPid)
        {
            // Inherited through a program that did not unset them: they were meant for that one.
            problems.Add($"$LISTEN_PID is {meant} and this is process {ownPid}: no descriptor is taken over");
        }
        else if (!int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out int number) || number > int.MaxValue - First)
        {
            problems.Add($"$LISTEN_FDS is \"{count}\", which is not a number of descriptors: none is taken over");
        }
        else
        {
            AdoptAll(number, names, adopt, descriptors, problems);
        }

        return new InheritedDescriptors(descriptors, problems);
    }

    /// <summary>Whether a name is one under which the engine stores.</summary>
    public static bool IsOfEngine(string name) => s_ofEngine.Any(prefix => name.StartsWith(prefix, StringComparison.Ordinal));

    /// <summary>Who is told of <see cref="Problems"/>: of those that were met already at once.</summary>
    public void TellProblemsTo(Action<string> problem)
    {
        _tell = problem;
        _problems.ForEach(problem);
    }

    /// <summary>Takes a listening socket out; further ones of that name become foreign.</summary>
    /// <param name="name"><see cref="Native"/> or <see cref="Control"/>.</param>
    /// <param name="type">What it must be.</param>
    /// <returns>The socket, owned by the caller; null when none came in that can be used.</returns>
    public SafeSocketFd? TakeListener(string name, UnixSocketType type)
    {
        foreach (StoredDescriptor inherited in _descriptors.Where(inherited => inherited.Name == name))
        {
            if (!UnixSocket.IsListening(inherited.Descriptor, type))
            {
                string problem = $"descriptor \"{name}\" is {Describe(inherited.Descriptor)} and not a listening {type} socket: it is not used";
                _problems.Add(problem);
                _tell?.Invoke(problem);
                continue;
            }

            _descriptors.Remove(inherited);
            return SafeSocketFd.Adopt(inherited.Descriptor.Disown());
        }

        return null;
    }

    /// <summary>Takes out what the engine stored; the caller owns it.</summary>
    public IReadOnlyList<StoredDescriptor> TakeStored() =>
        Take(inherited => IsOfEngine(inherited.Name));

    /// <summary>Takes out what is named alike; the caller owns it.</summary>
    /// <param name="prefix">How the names begin.</param>
    public IReadOnlyList<StoredDescriptor> TakeNamed(string prefix) =>
        Take(inherited => inherited.Name.StartsWith(prefix, StringComparison.Ordinal));

    /// <summary>Takes out all that is left: belongs to nothing that is known. The caller owns it.</summary>
    public IReadOnlyList<StoredDescriptor> TakeForeign() => Take(_ => true);

    /// <summary>What kind of file a descriptor is, for a log line.</summary>
    public static string Describe(SafeFd descriptor)
    {
        try
        {
            return FileIo.ReadDescriptorLink(descriptor);
        }
        catch (SyscallException)
        {
            return "of an unknown kind";
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (StoredDescriptor inherited in TakeForeign())
            inherited.Descriptor.Dispose();
    }

    private static void AdoptAll(int count, string? names, Func<int, SafeFile?> adopt, List<StoredDescriptor> descriptors, List<string> problems)
    {
        string[] given = string.IsNullOrEmpty(names) ? [] : names.Split(':');
        if (given.Length > 0 && given.Length != count)
            problems.Add($"$LISTEN_FDNAMES names {given.Length} descriptors, $LISTEN_FDS says {count}: those without a name are not known");

        int missing = 0;
        for (int i = 0; i < count; i++)
        {
            if (adopt(First + i) is not { } descriptor)
            {
                // One more gap may be followed by others; a number without any sense is not worth two thousand million tries.
                if (++missing > 1024)
                {
                    problems.Add($"$LISTEN_FDS says {count}, but after {i - missing + 1} descriptors none is open");
                    return;
                }

                problems.Add($"descriptor {First + i}, \"{NameOf(given, i)}\", came in by name only: it is not open");
                continue;
            }

            descriptors.Add(new StoredDescriptor(NameOf(given, i), descriptor));
        }
    }

    private static string NameOf(string[] names, int index) => index < names.Length && names[index].Length > 0 ? names[index] : Unknown;

    private List<StoredDescriptor> Take(Func<StoredDescriptor, bool> which)
    {
        List<StoredDescriptor> taken = [.. _descriptors.Where(which)];
        _descriptors.RemoveAll(inherited => which(inherited));
        return taken;
    }
}
