namespace UffdManager.Engine.State;

/// <summary>What a document in state memory describes.</summary>
internal enum DocumentKind : byte
{
    /// <summary>Nothing: the block is there for another document.</summary>
    None = 0,

    /// <summary>A <see cref="PolicyDocument"/>.</summary>
    Policy = 1,

    /// <summary>A <see cref="SourceDocument"/>.</summary>
    Source = 2,

    /// <summary>An <see cref="ImageReference"/>.</summary>
    Image = 3,
}
