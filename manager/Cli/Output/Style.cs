namespace UffdManager.Cli.Output;

/// <summary>What a piece of text is, for a terminal with colours.</summary>
internal enum Style
{
    None,
    Header,
    Good,
    Warning,
    Bad,
    Faint,
    Selected,
}
