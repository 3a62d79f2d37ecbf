namespace UffdManager.Engine.WorkingSets;

/// <summary>A fault on a page that nobody had touched before, with what was installed for it.</summary>
/// <param name="Page">Number of the first page in the source.</param>
/// <param name="Pages">How many were installed; of those beside the faulting one it is not known whether they were needed.</param>
/// <param name="Milliseconds">Since the start of the run.</param>
internal readonly record struct Touch(uint Page, int Pages, uint Milliseconds);
