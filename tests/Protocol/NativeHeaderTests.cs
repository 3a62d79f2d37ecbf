using System.Diagnostics;
using Xunit;

namespace UffdManager.Protocol.Tests;

/// <summary>Compiles tests/native/protocol-vectors.c against the C header and lets it read the same vectors.</summary>
public sealed class NativeHeaderTests
{
    [Fact]
    public async Task C_header_and_vectors_agree()
    {
        string program = Path.Combine(AppContext.BaseDirectory, "protocol-vectors");
        (int exit, string output) = await RunAsync(
            "gcc",
            "-std=c17", "-O1", "-Wall", "-Wextra", "-Werror", "-Wpedantic", "-fsanitize=address,undefined",
            "-I", Path.Combine(AppContext.BaseDirectory, "include"),
            "-o", program, Path.Combine(AppContext.BaseDirectory, "protocol-vectors.c"));
        Assert.True(exit == 0, output);

        string[] vectors = Directory.GetFiles(Vector.Folder, "*.hex");
        (exit, output) = await RunAsync(program, vectors);

        Assert.True(exit == 0, output);
        Assert.Equal($"{vectors.Length} vectors agree\n", output);
    }

    private static async Task<(int Exit, string Output)> RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardError = true, RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output + await errors);
    }
}
