using System.Text;

namespace UffdManager.Cli.Completion;

/// <summary>Completion for fish: one line for each command, option and argument, under the condition that its command has been said.</summary>
internal static class FishScript
{
    private const string Functions = """
        # What the line says so far, without options: the command that it has come to, its words joined by blanks, and then each argument.
        function __uffdctl_said
            set -l words (commandline -opc)
            set -l path uffdctl
            set -l arguments
            set -l skip 0
            for word in $words[2..-1]
                if test $skip = 1
                    set skip 0
                else if contains -- $word $__uffdctl_values
                    set skip 1
                else if string match -q -- '-*' $word
                    continue
                else if contains -- "$path $word" $__uffdctl_paths
                    set path "$path $word"
                else
                    set arguments $arguments $word
                end
            end
            printf '%s\n' $path $arguments
        end

        # Whether the line has come to this command, and no further.
        function __uffdctl_at
            set -l said (__uffdctl_said)
            test "$said[1]" = "$argv"
        end

        # The arguments of the command.
        function __uffdctl_arguments
            set -l said (__uffdctl_said)
            for argument in $said[2..-1]
                echo $argument
            end
        end

        # Whether so many arguments have been given to this command.
        function __uffdctl_argument
            __uffdctl_at $argv[2..-1]; and test (count (__uffdctl_arguments)) = $argv[1]
        end

        # What the manager knows, asked silently; nothing if it does not answer at once.
        function __uffdctl_ask
            set -l words (commandline -opc)
            set -l socket
            for i in (seq 2 (count $words))
                if test $words[$i] = --socket; and set -q words[(math $i + 1)]
                    set socket --socket=$words[(math $i + 1)]
                else if string match -q -- '--socket=*' $words[$i]
                    set socket $words[$i]
                end
            end
            if test "$argv" = regions
                set argv regions (__uffdctl_arguments)[1]
            end
            type -q $words[1]; or return
            $words[1] $socket __complete $argv 2>/dev/null
        end

        """;

    public static string Write(CompletionNode root)
    {
        StringBuilder script = new("# fish completion for uffdctl, printed by: uffdctl completion fish\n\n");
        script.Append($"set -g __uffdctl_paths {string.Join(' ', root.All.Select(node => Quote(node.Path)))}\n");
        IEnumerable<string> values = root.All.SelectMany(node => node.Options).Where(option => option.TakesValue).SelectMany(option => option.Names);
        script.Append($"set -g __uffdctl_values {string.Join(' ', values.Distinct())}\n\n").Append(Functions).Append('\n');
        script.Append("complete -c uffdctl -f\n");
        foreach (CompletionNode node in root.All)
        {
            string at = $"__uffdctl_at {node.Path}";
            foreach (CompletionNode command in node.Commands)
                script.Append($"complete -c uffdctl -n {Quote(at)} -a {Quote(command.Name)} -d {Quote(command.Description)}\n");
            foreach (CompletionOption option in node.Options)
                script.Append($"complete -c uffdctl -n {Quote(at)}{Names(option)}{Value(option)} -d {Quote(option.Description)}\n");
            for (int i = 0; i < node.Arguments.Count; i++)
            {
                CompletionArgument argument = node.Arguments[i];
                if (Proposals(argument.Kind, argument.Words) is not { } proposals)
                    continue;
                string condition = argument.Repeats ? at : $"__uffdctl_argument {i} {node.Path}";
                script.Append($"complete -c uffdctl -n {Quote(condition)} {proposals}\n");
            }
        }

        return script.ToString();
    }

    private static string Names(CompletionOption option) => string.Concat(
        option.Names.Select(name => name.StartsWith("--", StringComparison.Ordinal) ? $" -l {name[2..]}" : $" -s {name[1..]}"));

    // -x: nothing but what is proposed; with files fish wants the halves of it apart.
    private static string Value(CompletionOption option) => option switch
    {
        { TakesValue: false } => "",
        { Kind: ValueKind.File } => " -r -F",
        _ => $" -x {Proposals(option.Kind, option.Words)}".TrimEnd(),
    };

    private static string? Proposals(ValueKind kind, IReadOnlyList<string> words) => kind switch
    {
        ValueKind.Free => null,
        ValueKind.Word => $"-a {Quote(string.Join(' ', words))}",
        ValueKind.File => "-F",
        _ => $"-a {Quote($"(__uffdctl_ask {CompletionQuery.NameOf(kind)})")}",
    };

    private static string Quote(string text) => $"'{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("'", "\\'", StringComparison.Ordinal)}'";
}
