namespace UffdManager.Engine.WorkingSets;

/// <summary>Neighbouring pages of a source.</summary>
/// <param name="Page">Number of the first.</param>
/// <param name="Pages">How many.</param>
internal readonly record struct Extent(uint Page, int Pages);
