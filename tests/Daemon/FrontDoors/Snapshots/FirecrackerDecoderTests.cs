using System.Text;
using FsCheck;
using FsCheck.Fluent;
using UffdManager.Daemon.FrontDoors.Snapshots;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>Firecracker's message, of every version, cut anywhere, and everything that is none.</summary>
public sealed class FirecrackerDecoderTests
{
    private const ulong Address = 0x7f00_0000_0000;
    private const ulong MiB = 1 << 20;

    public static TheoryData<string, ulong> Versions => new()
    {
        { "1.1", 4096 },
        { "1.7", 4096 },
        { "1.7", 2 * MiB },
        { "1.12", 4096 },
        { "1.12", 2 * MiB },
        { "2.0", 4096 },
        { "2.0", 2 * MiB },
    };

    public static TheoryData<string, string> Malformed => new()
    {
        { "not a JSON array", "{}" },
        { "not a JSON array", "GET / HTTP/1.1" },
        { "not a JSON array", "\u00ff" },
        { "not a JSON array", "]" },
        { "not an array of objects", "[1]" },
        { "not an array of objects", "[[]]" },
        { "not an array of objects", "[null]" },
        { "no regions", "[]" },
        { "not JSON", "[}" },
        { "not JSON", "[{]]" },
        { "not JSON", """[{"size" 1}]""" },
        { "not JSON", """[{"size":1,}]""" },
        { "not JSON", """[{"size":01}]""" },
        { "not JSON", """[{"base_host_virt_addr":4096,"size":4096,"offset":0},]""" },
        { "not JSON", """[{"\ud800":1}]""" },
        { "no base_host_virt_addr", "[{}]" },
        { "no size", """[{"base_host_virt_addr":4096,"offset":0}]""" },
        { "no offset", """[{"base_host_virt_addr":4096,"size":4096}]""" },
        { "size is not a whole number", """[{"base_host_virt_addr":4096,"size":"4096","offset":0}]""" },
        { "size is not a whole number", """[{"base_host_virt_addr":4096,"size":-4096,"offset":0}]""" },
        { "size is not a whole number", """[{"base_host_virt_addr":4096,"size":4096.0,"offset":0}]""" },
        { "size is not a whole number", """[{"base_host_virt_addr":4096,"size":4e3,"offset":0}]""" },
        { "size is not a whole number", """[{"base_host_virt_addr":4096,"size":null,"offset":0}]""" },
        { "size is not a whole number", """[{"base_host_virt_addr":4096,"size":[4096],"offset":0}]""" },
        { "size is not a whole number", """[{"base_host_virt_addr":4096,"size":18446744073709551616,"offset":0}]""" },
        { "page_size is not a whole number", """[{"base_host_virt_addr":4096,"size":4096,"offset":0,"page_size":null}]""" },
        { "size twice", """[{"base_host_virt_addr":4096,"size":4096,"size":4096,"offset":0}]""" },
        { "multiples of its page size", """[{"base_host_virt_addr":4097,"size":4096,"offset":0}]""" },
        { "multiples of its page size", """[{"base_host_virt_addr":4096,"size":4095,"offset":0}]""" },
        { "multiples of its page size", """[{"base_host_virt_addr":4096,"size":0,"offset":0}]""" },
        { "multiples of its page size", """[{"base_host_virt_addr":4096,"size":4096,"offset":1}]""" },
        { "multiples of its page size", """[{"base_host_virt_addr":4096,"size":4096,"offset":0,"page_size":2097152}]""" },
        { "beyond the address space", """[{"base_host_virt_addr":18446744073709547520,"size":4096,"offset":0}]""" },
        { "beyond the address space", """[{"base_host_virt_addr":281474976706560,"size":8192,"offset":0}]""" },
        { "beyond the address space", """[{"base_host_virt_addr":4096,"size":18446744073709547520,"offset":0}]""" },
        { "beyond any file", """[{"base_host_virt_addr":4096,"size":4096,"offset":9223372036854771712}]""" },
        { "beyond any file", """[{"base_host_virt_addr":4096,"size":4096,"offset":18446744073709547520}]""" },
        { "pages of 0 bytes", """[{"base_host_virt_addr":4096,"size":4096,"offset":0,"page_size":0}]""" },
        { "pages of 4 bytes", """[{"base_host_virt_addr":4096,"size":4096,"offset":0,"page_size_kib":4}]""" },
        { "pages of 12288 bytes", """[{"base_host_virt_addr":12288,"size":12288,"offset":0,"page_size":12288}]""" },
        { "pages of 1073741824 bytes", """[{"base_host_virt_addr":0,"size":1073741824,"offset":0,"page_size":1073741824}]""" },
        { "both are in bytes", """[{"base_host_virt_addr":4096,"size":4096,"offset":0,"page_size":4096,"page_size_kib":4}]""" },
        { "pages of 4096 and of 2097152", """[{"base_host_virt_addr":4096,"size":4096,"offset":0},{"base_host_virt_addr":2097152,"size":2097152,"offset":0,"page_size":2097152}]""" },
        { "overlap", """[{"base_host_virt_addr":8192,"size":8192,"offset":0},{"base_host_virt_addr":4096,"size":8192,"offset":8192}]""" },
        { "overlap", """[{"base_host_virt_addr":8192,"size":8192,"offset":0},{"base_host_virt_addr":8192,"size":8192,"offset":8192}]""" },
        { "guest_memfd", """[{"base_host_virt_addr":4096,"size":4096,"offset":0,"gpa_start":0,"is_guest_memfd":true}]""" },
    };

    [Theory]
    [MemberData(nameof(Versions))]
    public void Message_of_every_version_is_read_whole_and_cut_at_every_byte(string version, ulong page)
    {
        string message = $"[{DecoderInput.Region(version, Address, 4 * MiB, 0, page)},{DecoderInput.Region(version, Address + (8 * MiB), 2 * MiB, 4 * MiB, page)}]";
        byte[] bytes = Encoding.UTF8.GetBytes(message);

        MemoryHandOver whole = DecoderInput.Decode(message, HandedKind.Userfaultfd).HandOver!;

        Assert.Equal([new MemoryRegion(Address, 4 * MiB, 0), new MemoryRegion(Address + (8 * MiB), 2 * MiB, 4 * (long)MiB)], whole.Regions);
        Assert.Equal((page, 0), (whole.PageBytes, whole.Uffd));
        for (int cut = 1; cut < bytes.Length; cut++)
            Assert.Equal(whole.Regions, DecoderInput.DecodeInPieces(bytes, [cut], DecoderInput.Uffd).HandOver!.Regions);
        Assert.Equal(whole.Regions, DecoderInput.DecodeInPieces(bytes, Enumerable.Range(1, bytes.Length - 1), DecoderInput.Uffd).HandOver!.Regions);
    }

    [Theory]
    [MemberData(nameof(Malformed))]
    public void Message_that_is_none_is_refused_with_the_reason_wherever_it_is_cut(string reason, string message)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(message);
        Assert.Contains(reason, DecoderInput.Decode(message, HandedKind.Userfaultfd).Refusal, StringComparison.Ordinal);
        string? inBytes = DecoderInput.DecodeInPieces(bytes, Enumerable.Range(1, Math.Max(0, bytes.Length - 1)), DecoderInput.Uffd).Refusal;
        Assert.Contains(reason, inBytes, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("[")]
    [InlineData("[{\"size\":40")]
    [InlineData("[{\"a\":\"]}]\\\"]")]
    public void Message_that_is_not_complete_needs_more(string message) =>
        Assert.Equal(HandOverStep.NeedsMore, DecoderInput.Decode(message, HandedKind.Userfaultfd));

    [Fact]
    public void Keys_that_are_not_known_are_skipped_in_any_order_and_depth()
    {
        const string Message = """
             [ {"name":"]}[{\"\\", "list":[[1,{"size":7}],{}], "offset":0, "none":null, "size":8192,
               "is_guest_memfd":false, "gpa_start":4294967296, "base_host_virt_addr":1048576, "yes":true } ]
            """;
        Assert.Equal([new MemoryRegion(MiB, 8192, 0)], DecoderInput.Decode(Message, HandedKind.Userfaultfd).HandOver!.Regions);
    }

    [Fact]
    public void What_follows_the_message_is_none_of_it()
    {
        string message = $"[{DecoderInput.Region("1.12", Address, 4096, 0, 4096)}]";
        Assert.Equal(DecoderInput.Text(DecoderInput.Decode(message, HandedKind.Userfaultfd)), DecoderInput.Text(DecoderInput.Decode(message + "]no_exitless_apf{", HandedKind.Userfaultfd)));
    }

    [Theory]
    [InlineData(0, "Userfaultfd")]
    [InlineData(0, "Userfaultfd Memfd")]
    [InlineData(1, "Memfd Userfaultfd")]
    public void Userfaultfd_is_found_beside_the_memfd_of_the_memory(int index, string kinds)
    {
        string message = $"[{DecoderInput.Region("1.12", Address, 4096, 0, 4096)}]";
        Assert.Equal(index, DecoderInput.Decode(message, Kinds(kinds)).HandOver!.Uffd);
    }

    [Theory]
    [InlineData("no userfaultfd", "")]
    [InlineData("no userfaultfd", "Memfd")]
    [InlineData("neither a userfaultfd nor a memfd", "Other")]
    [InlineData("neither a userfaultfd nor a memfd", "Userfaultfd Other")]
    [InlineData("two userfaultfds", "Userfaultfd Userfaultfd")]
    [InlineData("two memfds", "Memfd Memfd")]
    [InlineData("guest_memfd", "Userfaultfd GuestMemfd")]
    [InlineData("3 descriptors came", "Userfaultfd GuestMemfd Memfd")]
    [InlineData("4 descriptors came", "Other Other Other Other")]
    public void Descriptors_that_cannot_be_served_are_refused_with_the_reason(string reason, string kinds)
    {
        string message = $"[{DecoderInput.Region("1.12", Address, 4096, 0, 4096)}]";
        Assert.Contains(reason, DecoderInput.Decode(message, Kinds(kinds)).Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void More_regions_than_any_VM_has_are_refused()
    {
        string Regions(int count) => $"[{string.Join(',', Enumerable.Range(0, count).Select(i => DecoderInput.Region("1.1", (ulong)i * 4096, 4096, 0, 4096)))}]";
        Assert.Equal(256, DecoderInput.Decode(Regions(256), HandedKind.Userfaultfd).HandOver!.Regions.Count);
        Assert.Contains("more than 256", DecoderInput.Decode(Regions(257), HandedKind.Userfaultfd).Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Nesting_without_end_is_refused()
    {
        string deep = "[{\"a\":" + new string('[', 30_000) + new string(']', 30_000) + "}]";
        Assert.Equal("the message is not JSON", DecoderInput.Decode(deep, HandedKind.Userfaultfd).Refusal);
    }

    [Fact]
    public void Message_sliced_into_single_bytes_costs_no_more_than_its_length()
    {
        // A decoder that began anew with every byte would look at two thousand million of them.
        byte[] bytes = Encoding.UTF8.GetBytes("[{\"a\":\"" + new string(']', 64_000));
        long shortest = long.MaxValue;

        // A machine that stands still meanwhile makes one of them long, and not all.
        for (int round = 0; round < 10 && shortest > 2000; round++)
        {
            FirecrackerDecoder decoder = new();
            long began = Environment.TickCount64;
            for (int length = 1; length <= bytes.Length; length++)
                Assert.Equal(HandOverStep.NeedsMore, decoder.Decode(bytes.AsSpan(0, length), DecoderInput.Uffd));
            shortest = Math.Min(shortest, Environment.TickCount64 - began);
        }

        Assert.InRange(shortest, 0, 2000);
    }

    [Fact]
    public void Random_damage_is_decided_the_same_way_whole_and_in_pieces()
    {
        byte[] sound = Encoding.UTF8.GetBytes($"[{DecoderInput.Region("1.12", Address, 4 * MiB, 0, 4096)},{DecoderInput.Region("1.7", Address + (4 * MiB), MiB, 4 * MiB, 4096)}]");
        Gen<byte[]> damaged =
            from edits in Gen.Choose(0, 6)
            from places in Gen.Choose(0, sound.Length - 1).ArrayOf(edits)
            from values in Gen.Elements("[]{}\",:\\019e-. nt\u0000\u007f".Select(c => (byte)c).ToArray()).ArrayOf(edits)
            from cut in Gen.Choose(0, sound.Length)
            from isCut in Gen.Frequency((4, Gen.Constant(false)), (1, Gen.Constant(true)))
            select Damage(sound, places, values, isCut ? cut : sound.Length);
        Gen<(byte[] Message, int[] Cuts)> inputs =
            from message in damaged
            from cuts in Gen.Choose(0, message.Length).ArrayOf(5)
            select (message, cuts);
        Prop.ForAll(inputs.ToArbitrary(), input =>
        {
            string whole = DecoderInput.Text(new FirecrackerDecoder().Decode(input.Message, DecoderInput.Uffd));
            Assert.Equal(whole, DecoderInput.Text(DecoderInput.DecodeInPieces(input.Message, input.Cuts.Order(), DecoderInput.Uffd)));
        }).QuickCheckThrowOnFailure();
    }

    private static HandedKind[] Kinds(string names) => [.. names.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Enum.Parse<HandedKind>)];

    private static byte[] Damage(byte[] sound, int[] places, byte[] values, int length)
    {
        byte[] message = [.. sound];
        for (int i = 0; i < places.Length; i++)
            message[places[i]] = values[i];
        return message[..length];
    }
}
