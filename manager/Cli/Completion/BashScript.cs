using System.Text;

namespace UffdManager.Cli.Completion;

/// <summary>
/// Completion for bash without any package beside bash: a table of the commands, and one function that walks the words of the line through it.
/// </summary>
internal static class BashScript
{
    // The walk. The table sets, for the command in `path`: commands, options, and kinds, which has one word for each option that takes a value
    // (--name:kind) and for each argument (1:kind, 2:kind, *:kind).
    private const string Walk = """
        # What the manager knows, asked silently; nothing if it does not answer at once.
        _uffdctl_ask() {
            local line
            while IFS= read -r line; do
                printf '%s\n' "${line%%$'\t'*}"
            done < <("${words[0]}" ${socket:+"--socket=$socket"} __complete "$@" 2>/dev/null)
        }

        _uffdctl_kind() {
            local entry
            for entry in $kinds; do
                [[ ${entry%%:*} == "$1" ]] && { kind=${entry#*:}; return 0; }
            done
            return 1
        }

        _uffdctl() {
            local IFS=$' \t\n' path=uffdctl kind='' socket='' session='' option='' current='' word i count=0 commands options kinds
            local words=("${COMP_WORDS[@]}")
            COMPREPLY=()
            _uffdctl_table "$path"
            for ((i = 1; i < COMP_CWORD; i++)); do
                word=${words[i]}
                # The shell takes --option=value apart into three words.
                [[ $word == = && -n $option ]] && continue
                if [[ -n $option ]]; then
                    [[ $option == --socket ]] && socket=$word
                    option=''
                elif [[ $word == -* ]]; then
                    _uffdctl_kind "$word" && option=$word
                elif [[ " $commands " == *" $word "* ]]; then
                    path+=" $word"
                    _uffdctl_table "$path"
                else
                    ((++count))
                    [[ $count == 1 ]] && session=$word
                fi
            done
            current=${words[COMP_CWORD]}
            [[ $current == = ]] && current=''

            if [[ -n $option ]]; then
                _uffdctl_kind "$option"
            elif [[ $current == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
                return
            elif [[ -n $commands ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
                return
            else
                kind=''
                _uffdctl_kind "$((count + 1))" || _uffdctl_kind '*' || return
            fi

            case $kind in
            words=*)
                kind=${kind#words=}
                mapfile -t COMPREPLY < <(compgen -W "${kind//,/ }" -- "$current")
                ;;
            file) compopt -o default 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
            sessions | tenants | policies | images | snapshots) mapfile -t COMPREPLY < <(compgen -W "$(_uffdctl_ask "$kind")" -- "$current") ;;
            regions) mapfile -t COMPREPLY < <(compgen -W "$(_uffdctl_ask regions "$session")" -- "$current") ;;
            esac
        }

        complete -F _uffdctl uffdctl

        """;

    public static string Write(CompletionNode root)
    {
        StringBuilder script = new("# bash completion for uffdctl, printed by: uffdctl completion bash\n\n");
        script.Append("_uffdctl_table() {\n    commands='' options='' kinds=''\n    case $1 in\n");
        foreach (CompletionNode node in root.All)
        {
            script.Append($"    '{node.Path}')\n");
            script.Append($"        commands='{string.Join(' ', node.Commands.Select(command => command.Name))}'\n");
            script.Append($"        options='{string.Join(' ', node.Options.SelectMany(option => option.Names))}'\n");
            script.Append($"        kinds='{string.Join(' ', Kinds(node))}'\n        ;;\n");
        }

        return script.Append("    esac\n}\n\n").Append(Walk).ToString();
    }

    private static IEnumerable<string> Kinds(CompletionNode node)
    {
        foreach (CompletionOption option in node.Options.Where(option => option.TakesValue))
        {
            foreach (string name in option.Names)
                yield return $"{name}:{Word(option.Kind, option.Words)}";
        }

        for (int i = 0; i < node.Arguments.Count; i++)
        {
            CompletionArgument argument = node.Arguments[i];
            yield return $"{(argument.Repeats ? "*" : i + 1)}:{Word(argument.Kind, argument.Words)}";
        }
    }

    private static string Word(ValueKind kind, IReadOnlyList<string> words) => kind switch
    {
        // One word of the table; the function splits it again.
        ValueKind.Word => $"words={string.Join(',', words)}",
        ValueKind.File => "file",
        ValueKind.Free => "free",
        _ => CompletionQuery.NameOf(kind),
    };
}
