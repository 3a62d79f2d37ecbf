namespace UffdManager.Linux;

/// <summary>struct page_region: neighbouring pages of one category set.</summary>
[CName("struct page_region")]
public struct PageRegion
{
    /// <summary>First byte.</summary>
    [CName("start")] public ulong Start;

    /// <summary>The byte after the last.</summary>
    [CName("end")] public ulong End;

    /// <summary>What the pages have in common, of what was asked for.</summary>
    [CName("categories")] public PageCategories Categories;
}
