using UffdManager.Cli;

try
{
    return await CommandLine.InvokeAsync(args);
}
catch (Exception e) when (e is not OutOfMemoryException)
{
    await Console.Error.WriteLineAsync($"uffdctl: a defect of this program: {e}");
    return ExitCode.Software;
}
