using System.Text;

namespace UffdManager.Cli.Completion;

/// <summary>Completion for zsh: one function for each command, in terms of zsh's own <c>_arguments</c>.</summary>
internal static class ZshScript
{
    private const string Ask = """
        # What the manager knows, asked silently; nothing if it does not answer at once.
        _uffdctl_ask() {
            local -a found socket
            local line i
            for ((i = 2; i <= $#_uffdctl_words; i++)); do
                case $_uffdctl_words[i] in
                --socket) socket=(--socket=${(Q)_uffdctl_words[i+1]}) ;;
                --socket=*) socket=(${(Q)_uffdctl_words[i]}) ;;
                esac
            done
            for line in ${(f)"$(${(Q)_uffdctl_words[1]} $socket __complete "$@" 2>/dev/null)"}; do
                found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
            done
            _describe -V "$1" found
        }


        """;

    public static string Write(CompletionNode root)
    {
        StringBuilder script = new("#compdef uffdctl\n# zsh completion for uffdctl, printed by: uffdctl completion zsh\n\n");
        script.Append(Ask);
        foreach (CompletionNode node in root.All)
            WriteFunction(script, node);

        // Autoloaded from fpath, the file is the function: it defines and calls. Sourced, it registers.
        return script.Append("""
            if [[ $funcstack[1] == _uffdctl ]]; then
                local -a _uffdctl_words=("${words[@]}")
                _uffdctl_at_uffdctl "$@"
            else
                _uffdctl() {
                    local -a _uffdctl_words=("${words[@]}")
                    _uffdctl_at_uffdctl "$@"
                }
                compdef _uffdctl uffdctl
            fi

            """).ToString();
    }

    private static void WriteFunction(StringBuilder script, CompletionNode node)
    {
        script.Append($"{Function(node)}() {{\n");
        if (node.Commands.Count > 0)
        {
            script.Append("    local context state state_descr line\n    typeset -A opt_args\n    local -a commands=(\n");
            foreach (CompletionNode command in node.Commands)
                script.Append($"        {Quote($"{command.Name}:{command.Description.Replace(":", "\\:", StringComparison.Ordinal)}")}\n");
            script.Append("    )\n");
        }

        script.Append(node.Commands.Count > 0 ? "    _arguments -C -S -A '-*' \\\n" : "    _arguments -S \\\n");
        foreach (CompletionOption option in node.Options)
            script.Append($"        {Spec(option)} \\\n");
        if (node.Commands.Count > 0)
        {
            script.Append("        '1: :->command' '*:: :->rest'\n    case $state in\n    command) _describe command commands ;;\n    rest)\n        case $line[1] in\n");
            foreach (CompletionNode command in node.Commands)
                script.Append($"        {command.Name}) {Function(command)} ;;\n");
            script.Append("        esac\n        ;;\n    esac\n");
        }
        else
        {
            for (int i = 0; i < node.Arguments.Count; i++)
            {
                CompletionArgument argument = node.Arguments[i];
                script.Append($"        {Quote($"{(argument.Repeats ? "*" : i + 1)}:{argument.Name}:{Action(argument.Kind, argument.Words)}")} \\\n");
            }

            script.Append("        && return 0\n");
        }

        script.Append("}\n\n");
    }

    private static string Function(CompletionNode node) => $"_uffdctl_at_{node.Path.Replace(' ', '_')}";

    // An option of several names: the names exclude each other, and each gets the rest of the specification by brace expansion.
    private static string Spec(CompletionOption option)
    {
        string value = option.TakesValue ? $":value:{Action(option.Kind, option.Words)}" : "";
        string description = $"[{Escape(option.Description)}]";
        string repeat = option.Repeats ? "*" : "";
        // = allows both --name=value and --name value.
        string[] names = [.. option.Names.Select(name => option.TakesValue && name.StartsWith("--", StringComparison.Ordinal) ? $"{name}=" : name)];
        if (names.Length == 1)
            return Quote($"{repeat}{names[0]}{description}{value}");
        string exclusive = option.Repeats ? "*" : $"({string.Join(' ', option.Names)})";
        return $"{Quote(exclusive)}{{{string.Join(',', names)}}}{Quote(description + value)}";
    }

    private static string Action(ValueKind kind, IReadOnlyList<string> words) => kind switch
    {
        // A blank completes nothing, and says what is wanted.
        ValueKind.Free => " ",
        ValueKind.Word => $"({string.Join(' ', words)})",
        ValueKind.File => "_files",
        ValueKind.Region => "{ _uffdctl_ask regions $line[1] }",
        _ => $"{{ _uffdctl_ask {CompletionQuery.NameOf(kind)} }}",
    };

    private static string Escape(string text) => text
        .Replace("\\", "\\\\", StringComparison.Ordinal).Replace("[", "\\[", StringComparison.Ordinal).Replace("]", "\\]", StringComparison.Ordinal)
        .Replace(":", "\\:", StringComparison.Ordinal);

    private static string Quote(string text) => $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
