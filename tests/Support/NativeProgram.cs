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
    /// Compiles <paramref name="source"/> (a file of tests/native, or an absolute path) and returns the program's path. The name holds a
    /// hash of the source and the flags, so a change builds anew and test processes can share what is there.
    /// </summary>
    /// <exception cref="InvalidOperationException">The compiler refused; the message is its output.</exception>
    public static string Build(string source, params string[] flags)
    {
        string path = Path.Combine(RepositoryRoot, "tests", "native", source);
        string[] arguments = ["-std=c17", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", .. flags];
        byte[] hash = SHA256.HashData([.. File.ReadAllBytes(path), .. Encoding.UTF8.GetBytes(string.Join('\0', arguments))]);
        string name = $"{Path.GetFileNameWithoutExtension(path)}-{Convert.ToHexStringLower(hash.AsSpan(0, 6))}";
        string program = Path.Combine(OutputDirectory, name);
        lock (s_lock)
        {
            if (!File.Exists(program))
                Compile(path, program, arguments);
        }

        return program;
    }

    /// <summary>Runs the compiler, which must be on the PATH; true when it accepts. Its output is in <paramref name="messages"/>.</summary>
    public static bool TryCompile(string source, string output, IEnumerable<string> flags, out string messages, string compiler = "gcc")
    {
        ProcessStartInfo start = new(compiler, [.. flags, "-o", output, source])
        {
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        using Process process = Process.Start(start) ?? throw new InvalidOperationException("The compiler did not start");
        messages = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }

    private static void Compile(string source, string program, string[] flags)
    {
        Directory.CreateDirectory(OutputDirectory);

        // Another test process may build the same at the same time: each builds under its own name, and the rename is atomic.
        string temporary = $"{program}.{Environment.ProcessId}";
        if (!TryCompile(source, temporary, flags, out string messages))
            throw new InvalidOperationException($"{source} does not compile:\n{messages}");
        File.Move(temporary, program, overwrite: true);
    }

    private static string FindRoot([CallerFilePath] string thisFile = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(thisFile)!, "..", ".."));
}
