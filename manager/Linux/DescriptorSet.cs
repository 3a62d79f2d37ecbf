namespace UffdManager.Linux;

/// <summary>
/// Owner of received descriptors until a typed handle is taken out, once. What is not taken is closed by <see cref="Clear"/> or
/// <see cref="Dispose"/>, so that no error path can leak what a stranger sent.
/// </summary>
public sealed class DescriptorSet : IDisposable
{
    private readonly List<SafeFile?> _descriptors = [];

    /// <summary>Descriptors received since the last <see cref="Clear"/>, taken or not.</summary>
    public int Count => _descriptors.Count;

    /// <summary>Takes descriptor <paramref name="index"/>; the caller owns it.</summary>
    /// <exception cref="InvalidOperationException">It was taken before.</exception>
    /// <exception cref="ArgumentOutOfRangeException">No such descriptor.</exception>
    public T Take<T>(int index)
        where T : SafeFd, IAdoptsFd<T>
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, _descriptors.Count);
        SafeFile file = _descriptors[index] ?? throw new InvalidOperationException($"Descriptor {index} was taken before");
        _descriptors[index] = null;
        return T.Adopt(file.Disown());
    }

    /// <summary>The descriptor for looking at, still owned by the set; null when taken.</summary>
    /// <exception cref="ArgumentOutOfRangeException">No such descriptor.</exception>
    public SafeFile? Borrow(int index) => _descriptors[index];

    /// <summary>Closes what is left and forgets everything.</summary>
    public void Clear()
    {
        foreach (SafeFile? file in _descriptors)
            file?.Dispose();
        _descriptors.Clear();
    }

    /// <inheritdoc/>
    public void Dispose() => Clear();

    internal void Adopt(int fd) => _descriptors.Add(new SafeFile(fd));
}
