namespace UffdManager.Engine.State;

/// <summary>What a shared image is; kept in the image's own state memory.</summary>
/// <param name="Id">Number of the stored descriptors.</param>
/// <param name="MapId">Number that clients know it by.</param>
/// <param name="Name">For logs and status.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Writable">Whether clients may write it.</param>
/// <param name="SourceOffset">Byte of the source at which it begins.</param>
/// <param name="Source">Where its contents come from; null for zeros.</param>
/// <param name="OwnerTag">See <see cref="Sources.SharedImage.OwnerTag"/>.</param>
internal sealed record ImageDocument(long Id, long MapId, string Name, long Length, bool Writable, long SourceOffset, SourceDocument? Source, string OwnerTag);
