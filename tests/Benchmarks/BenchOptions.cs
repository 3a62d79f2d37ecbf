namespace UffdManager.Benchmarks;

/// <summary>The command line of the benchmark program.</summary>
internal sealed record BenchOptions
{
    public const string Usage = """
        usage: UffdManager.Benchmarks [OPTION...]
          --quick              fewer rounds and faults: says whether it works, not how fast it is
          --rounds N           measurements of each handler for every row (default 5, quick 2)
          --only TEXT          only the scenarios whose name contains TEXT; may be repeated
          --self-check         a second reference handler stands in for the manager: all ratios should be near 1
          --daemon FILE        the manager's program (default artifacts/publish/uffd-manager/uffd-manager, which
                               scripts/publish.sh makes: it is what is installed)
          --env NAME=VALUE     into the manager's environment; may be repeated
          --nice N             priority of handlers and clients, as of nice(1): on a machine that does other things too
          --output FILE        JSON rows (default artifacts/bench/latest.json); the table goes beside it as .md
          --publish            put the result into docs/PERFORMANCE.md, if every row could be measured
          --list               print the names of the scenarios
        """;

    public bool Quick { get; private init; }

    public int Rounds { get; private init; }

    public IReadOnlyList<string> Only { get; private init; } = [];

    public bool SelfCheck { get; private init; }

    /// <summary>Null leaves the priority alone.</summary>
    public int? Nice { get; private init; }

    public bool List { get; private init; }

    /// <summary>The document that receives the result; null for none.</summary>
    public string? Publish { get; private init; }

    /// <summary>The daemon as it is installed, compiled ahead of time.</summary>
    public required string Daemon { get; init; }

    public required string Native { get; init; }

    public required string Output { get; init; }

    public IReadOnlyDictionary<string, string> ManagerEnvironment { get; private init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <exception cref="FormatException">With what is wrong.</exception>
    public static BenchOptions Parse(IReadOnlyList<string> arguments)
    {
        string root = Environment.GetEnvironmentVariable("UFFD_REPO_ROOT") ?? FindRoot();
        bool quick = false;
        bool selfCheck = false;
        bool list = false;
        string? publish = null;
        int? rounds = null;
        int? nice = null;
        string daemon = Path.Combine(root, "artifacts/publish/uffd-manager/uffd-manager");
        string output = Path.Combine(root, "artifacts/bench/latest.json");
        var only = new List<string>();
        var environment = new Dictionary<string, string>(StringComparer.Ordinal);

        for (int i = 0; i < arguments.Count; i++)
        {
            string name = arguments[i];
            string Value() => ++i < arguments.Count ? arguments[i] : throw new FormatException($"{name} needs a value");
            switch (name)
            {
                case "--quick":
                    quick = true;
                    break;
                case "--self-check":
                    selfCheck = true;
                    break;
                case "--publish":
                    publish = Path.Combine(root, "docs/PERFORMANCE.md");
                    break;
                case "--list":
                    list = true;
                    break;
                case "--rounds":
                    rounds = int.TryParse(Value(), out int count) && count > 0 ? count : throw new FormatException("--rounds needs a number");
                    break;
                case "--nice":
                    nice = int.TryParse(Value(), out int priority) ? priority : throw new FormatException("--nice needs a number");
                    break;
                case "--only":
                    only.Add(Value());
                    break;
                case "--daemon":
                    daemon = Path.GetFullPath(Value());
                    break;
                case "--output":
                    output = Path.GetFullPath(Value());
                    break;
                case "--env":
                    string[] pair = Value().Split('=', 2);
                    environment[pair[0]] = pair.Length == 2 ? pair[1] : throw new FormatException("--env needs NAME=VALUE");
                    break;
                default:
                    throw new FormatException($"unknown argument {name}");
            }
        }

        return new BenchOptions
        {
            Quick = quick,
            SelfCheck = selfCheck,
            Nice = nice,
            List = list,
            Publish = publish,
            Rounds = rounds ?? (quick ? 2 : 5),
            Only = only,
            Daemon = daemon,
            Native = Environment.GetEnvironmentVariable("UFFD_NATIVE_DIR") ?? Path.Combine(root, "artifacts/native"),
            Output = output,
            ManagerEnvironment = environment,
        };
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? directory = new(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Manager.sln")))
                return directory.FullName;
        }

        return Environment.CurrentDirectory;
    }
}
