namespace UffdManager.Engine.Images;

/// <summary>A chunk that the cache knows.</summary>
internal readonly record struct CachedChunk(LayeredSource Source, int Chunk);
