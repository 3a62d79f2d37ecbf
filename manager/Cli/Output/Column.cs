namespace UffdManager.Cli.Output;

/// <summary>A column of a table.</summary>
/// <param name="Header">In capitals, one word: a pipe's reader takes columns apart by blanks.</param>
/// <param name="Rank">Which columns go first when the terminal is narrow: the highest. 0 always stays.</param>
/// <param name="Right">Whether numbers end at the same column.</param>
/// <param name="Shrink">Least width to which it may be cut before a column is left out; 0 means never cut.</param>
internal sealed record Column(string Header, int Rank = 0, bool Right = false, int Shrink = 0);
