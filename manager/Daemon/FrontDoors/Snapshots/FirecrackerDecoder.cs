using System.Text.Json;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>
/// Firecracker's hand-over, of every version from 1.1 on: one JSON array of regions, and the userfaultfd. Versions differ in how, and whether, they say the page size; forks
/// of it add keys and a second descriptor, the memfd that the memory is made of. Keys that are not known are skipped, numbers are taken strictly.
/// </summary>
/// <remarks>
/// There is neither a length nor a terminator: the message ends with the bracket that closes the array. What follows is none of ours.
/// https://github.com/firecracker-microvm/firecracker, docs/snapshotting/handling-page-faults-on-snapshot-resume.md
/// </remarks>
internal sealed class FirecrackerDecoder : IHandOverDecoder
{
    // A Firecracker has up to four regions.
    private const int MaxRegions = 256;
    private const int MaxDescriptors = 2;
    private const ulong BasePage = 4096;
    private const ulong LargestPage = 2 * 1024 * 1024;

    // 47 bits on x86-64; arm64 may have 48. Beyond is the kernel's or nobody's.
    private const ulong AddressLimit = 1UL << 48;

    private int _scanned;
    private int _depth;
    private bool _isInString;
    private bool _isEscaped;

    /// <inheritdoc/>
    public HandOverStep Decode(ReadOnlySpan<byte> bytes, IReadOnlyList<HandedKind> descriptors)
    {
        if (CheckDescriptors(descriptors) is { } refusal)
            return HandOverStep.Refused(refusal, isWhole: false);
        if (!TryFindEnd(bytes, out int end, out refusal))
            return refusal is null ? HandOverStep.NeedsMore : HandOverStep.Refused(refusal, isWhole: false);
        if (!descriptors.Contains(HandedKind.Userfaultfd))
            return Whole("no userfaultfd came with the message");
        try
        {
            return Parse(bytes[..end], descriptors.ToList().IndexOf(HandedKind.Userfaultfd));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a key that is not UTF-8, or half of a surrogate pair.
            return Whole("the message is not JSON");
        }
    }

    private static string? CheckDescriptors(IReadOnlyList<HandedKind> descriptors)
    {
        if (descriptors.Count > MaxDescriptors)
            return $"{descriptors.Count} descriptors came, and at most a userfaultfd and a memfd are served: three are those of a guest_memfd, of a VM with secret freedom";
        if (descriptors.Contains(HandedKind.GuestMemfd))
            return "its memory is a guest_memfd, which this manager does not serve: start the VM without secret freedom";
        if (descriptors.Contains(HandedKind.Other))
            return "a descriptor is neither a userfaultfd nor a memfd";
        if (descriptors.Count(kind => kind == HandedKind.Userfaultfd) > 1)
            return "two userfaultfds came with one message";
        return descriptors.Count(kind => kind == HandedKind.Memfd) > 1 ? "two memfds and no userfaultfd came with the message" : null;
    }

    // Each byte is looked at once, however finely a sender slices its message: only the whole is parsed.
    private bool TryFindEnd(ReadOnlySpan<byte> bytes, out int end, out string? refusal)
    {
        refusal = null;
        for (end = _scanned; end < bytes.Length;)
        {
            byte next = bytes[end++];
            _scanned = end;
            if (_isInString)
            {
                ScanString(next);
                continue;
            }

            if (_depth == 0 && next is not ((byte)'[' or (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n'))
            {
                refusal = "the message is not a JSON array";
                return false;
            }

            _isInString = next == '"';
            _depth += next is (byte)'[' or (byte)'{' ? 1 : next is (byte)']' or (byte)'}' ? -1 : 0;
            if (_depth == 0 && next is (byte)']' or (byte)'}')
            {
                // Asked again, the answer is the same.
                (_scanned, _depth) = (end - 1, 1);
                return true;
            }
        }

        return false;
    }

    private void ScanString(byte next)
    {
        _isInString = _isEscaped || next != '"';
        _isEscaped = !_isEscaped && next == '\\';
    }

    private static HandOverStep Parse(ReadOnlySpan<byte> message, int uffd)
    {
        Utf8JsonReader reader = new(message);
        reader.Read();
        List<MemoryRegion> regions = [];
        ulong pageBytes = 0;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.StartObject)
                return Whole("the message is not an array of objects");
            if (regions.Count == MaxRegions)
                return Whole($"it has more than {MaxRegions} regions");
            ParsedRegion parsed = default;
            if ((parsed.Read(ref reader) ?? parsed.Check()) is { } problem)
                return Whole(problem);
            if (regions.Count > 0 && pageBytes != parsed.PageBytes)
                return Whole($"its regions have pages of {pageBytes} and of {parsed.PageBytes} bytes");
            pageBytes = parsed.PageBytes;
            regions.Add(parsed.ToRegion());
        }

        // To the end, so that what is no JSON is told as such.
        while (reader.Read())
        {
        }

        if (regions.Count == 0)
            return Whole("it has no regions");
        MemoryRegion[] sorted = [.. regions.OrderBy(region => region.Start)];
        for (int i = 1; i < sorted.Length; i++)
        {
            if (sorted[i].Start < sorted[i - 1].Start + sorted[i - 1].Length)
                return Whole($"its regions at 0x{sorted[i - 1].Start:x} and 0x{sorted[i].Start:x} overlap");
        }

        return HandOverStep.Complete(new MemoryHandOver(regions, pageBytes, uffd));
    }

    private static HandOverStep Whole(string refusal) => HandOverStep.Refused(refusal, isWhole: true);

    // The keys in the order in which Firecracker writes them.
    private struct ParsedRegion
    {
        private ulong? _address;
        private ulong? _size;
        private ulong? _offset;
        private ulong? _pageSize;
        private ulong? _pageSizeKib;
        private bool _isGuestMemfd;

        // page_size_kib is in bytes, whatever its name says. Before 1.7 there was none of them, and no other page than this.
        public readonly ulong PageBytes => _pageSize ?? _pageSizeKib ?? BasePage;

        public readonly MemoryRegion ToRegion() => new(_address!.Value, _size!.Value, (long)_offset!.Value);

        public string? Read(ref Utf8JsonReader reader)
        {
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                string? problem = reader.ValueTextEquals("base_host_virt_addr"u8) ? ReadNumber(ref reader, "base_host_virt_addr", ref _address)
                    : reader.ValueTextEquals("size"u8) ? ReadNumber(ref reader, "size", ref _size)
                    : reader.ValueTextEquals("offset"u8) ? ReadNumber(ref reader, "offset", ref _offset)
                    : reader.ValueTextEquals("page_size"u8) ? ReadNumber(ref reader, "page_size", ref _pageSize)
                    : reader.ValueTextEquals("page_size_kib"u8) ? ReadNumber(ref reader, "page_size_kib", ref _pageSizeKib)
                    : ReadOther(ref reader);
                if (problem is not null)
                    return problem;
            }

            return null;
        }

        public readonly string? Check()
        {
            if (_isGuestMemfd)
                return "a region is a guest_memfd, which this manager does not serve: start the VM without secret freedom";
            if (_address is not { } address || _size is not { } size || _offset is not { } offset)
                return $"a region has no {(_address is null ? "base_host_virt_addr" : _size is null ? "size" : "offset")}";
            if (_pageSize is not null && _pageSizeKib is not null && _pageSize != _pageSizeKib)
                return $"a region has a page_size of {_pageSize} and a page_size_kib of {_pageSizeKib}; both are in bytes";
            if (!ulong.IsPow2(PageBytes) || PageBytes is < BasePage or > LargestPage)
                return $"a region has pages of {PageBytes} bytes; known are powers of two from {BasePage} to {LargestPage}";
            if (size == 0 || ((address | size | offset) & (PageBytes - 1)) != 0)
                return $"a region's address {address}, size {size} and offset {offset} must be multiples of its page size {PageBytes}, and the size above 0";
            if (address >= AddressLimit || size > AddressLimit - address)
                return $"a region of {size} bytes at 0x{address:x} lies beyond the address space";
            return offset > long.MaxValue - size ? $"a region's offset {offset} lies beyond any file" : null;
        }

        private static string? ReadNumber(ref Utf8JsonReader reader, string key, ref ulong? into)
        {
            reader.Read();
            if (into is not null)
                return $"a region has {key} twice";
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetUInt64(out ulong number))
                return $"a region's {key} is not a whole number from 0 to 2^64-1";
            into = number;
            return null;
        }

        private string? ReadOther(ref Utf8JsonReader reader)
        {
            bool tellsKind = reader.ValueTextEquals("is_guest_memfd"u8);
            reader.Read();
            _isGuestMemfd |= tellsKind && reader.TokenType == JsonTokenType.True;
            reader.Skip();
            return null;
        }
    }
}
