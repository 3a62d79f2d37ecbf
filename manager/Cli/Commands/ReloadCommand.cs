using System.CommandLine;
using UffdManager.Cli.Control;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl reload</c>: SIGHUP with an answer.</summary>
internal static class ReloadCommand
{
    public static Command Create()
    {
        Command command = new("reload", "Make the manager read its configuration again. Live sessions keep what they have.");
        command.SetWork(async (context, cancel) =>
        {
            Answer<ReloadDto> answer = await context.Client.SendAsync(HttpMethod.Post, "v1/reload", null, Documents.Types.ReloadDto, cancel);
            ReloadDto reload = answer.Value;
            if (context.Json)
            {
                context.PrintDocument(answer.Document);
                return ExitCode.Ok;
            }

            ConfigCommands.Notes(context, reload.Warnings, reload.NeedsRestart);
            context.Print($"Configuration read again: {reload.Tenants} tenants, {reload.Policies} policies, from {ConfigCommands.Origins(reload.Origins)}");
            return ExitCode.Ok;
        });
        return command;
    }
}
