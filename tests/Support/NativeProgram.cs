using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;

namespace UffdManager.TestSupport;

/// <summary>Builds the C programs of tests/native with the system's compiler, once per content.</summary>
public static class NativeProgram
{
    private static readonly Lock s_lock = new();

    /// <summary>The repository's root.</summary>
    public static string RepositoryRoot { get; } = FindRoot();

    /// <summary>Where test programs are built: <c>artifacts/native/tests</c>.</summary>
    public static string OutputDirectory { get; } = Path.Combine(RepositoryRoot, "artifacts", "native", "tests");

    /// <summary>
    /// Compiles <paramref name="source"/> (a file of tests/native, a folder there whose files make one program, or an absolute path) and
    /// returns the program's path. The name holds a hash of the sources and the flags, so a change builds anew and test processes can share
    /// what is there.
    /// </summary>
    /// <exception cref="InvalidOperationException">The compiler refused; the message is its output.</exception>
    public static string Build(string source, params string[] flags)
    {
        string path = Path.Combine(RepositoryRoot, "tests", "native", source);
        string[] arguments = ["-std=c17", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", .. flags];
        string[] sources = Directory.Exists(path) ? Sorted(path, "*.c") : [path];
        byte[] hash = Hash([.. sources, .. Headers(path)], arguments);
        string name = $"{Path.GetFileNameWithoutExtension(path)}-{Convert.ToHexStringLower(hash.AsSpan(0, 6))}";
        string program = Path.Combine(OutputDirectory, name);
        lock (s_lock)
        {
            if (!File.Exists(program))
                Compile(sources, program, arguments);
        }

        return program;
    }

    /// <summary>Runs the compiler, which must be on the PATH; true when it accepts. Its output is in <paramref name="messages"/>.</summary>
    public static bool TryCompile(string source, string output, IEnumerable<string> flags, out string messages, string compiler = "gcc") =>
        TryCompile([source], output, flags, out messages, compiler);

    private static bool TryCompile(string[] sources, string output, IEnumerable<string> flags, out string messages, string compiler = "gcc")
    {
        ProcessStartInfo start = new(compiler, [.. flags, "-o", output, .. sources])
        {
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        using Process process = Process.Start(start) ?? throw new InvalidOperationException("The compiler did not start");
        messages = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }

    private static string[] Sorted(string folder, string pattern) => [.. Directory.GetFiles(folder, pattern).Order(StringComparer.Ordinal)];

    /// <summary>What the files of a folder may include: its own headers and those that the programs share.</summary>
    private static string[] Headers(string path) => Directory.Exists(path)
        ? [.. Sorted(path, "*.h"), .. Sorted(Path.Combine(path, "..", "common"), "*.h")]
        : [];

    private static byte[] Hash(string[] files, string[] flags)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string file in files)
            hash.AppendData(File.ReadAllBytes(file));
        hash.AppendData(Encoding.UTF8.GetBytes(string.Join('\0', flags)));
        return hash.GetHashAndReset();
    }

    private static void Compile(string[] sources, string program, string[] flags)
    {
        Directory.CreateDirectory(OutputDirectory);

        // Another test process may build the same at the same time: each builds under its own name, and the rename is atomic.
        string temporary = $"{program}.{Environment.ProcessId}";
        if (!TryCompile(sources, temporary, flags, out string messages))
            throw new InvalidOperationException($"{program} does not compile:\n{messages}");
        File.Move(temporary, program, overwrite: true);
    }

    private static string FindRoot([CallerFilePath] string thisFile = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(thisFile)!, "..", ".."));
}
