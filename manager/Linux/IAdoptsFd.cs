namespace UffdManager.Linux;

/// <summary>A handle type that can be made of a bare descriptor number.</summary>
/// <typeparam name="TSelf">The handle type itself.</typeparam>
public interface IAdoptsFd<TSelf>
    where TSelf : SafeFd, IAdoptsFd<TSelf>
{
    /// <summary>Takes ownership of <paramref name="fd"/>.</summary>
    static abstract TSelf Adopt(int fd);
}
