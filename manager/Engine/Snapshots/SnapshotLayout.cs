namespace UffdManager.Engine.Snapshots;

/// <summary>By what the pages of a snapshot lie in its image.</summary>
public enum SnapshotLayout
{
    /// <summary>One region behind the other by address: there is no file that all of them show.</summary>
    Address,

    /// <summary>Each page at the offset that it has in the source, which all regions show: the image can take the place of that file, and be a diff upon it.</summary>
    Source,
}
