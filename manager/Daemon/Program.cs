using UffdManager.Daemon.Cli;

return await CommandLine.InvokeAsync(args);
