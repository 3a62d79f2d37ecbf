using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Single mappings: asked for, and read from the text, which must say the same.</summary>
public sealed class ProcessMapTests
{
    private const ulong Page = 4096;

    [Fact]
    public void Mapping_is_found_from_its_first_byte_to_its_last()
    {
        using ClientProcess client = ClientProcess.Start();
        (ulong at, _) = client.Map("memfd-shared", 8 * Page);
        client.Run($"munmap {at + (6 * Page)} {2 * Page}");
        client.Run($"mprotect {at} {2 * Page} 1");
        foreach (ulong address in new[] { at + (2 * Page), at + (4 * Page), at + (6 * Page) - 1 })
            AssertFound(client.Pid, address, at + (2 * Page), at + (6 * Page));
        AssertFound(client.Pid, at + (2 * Page) - 1, at, at + (2 * Page));
    }

    [Fact]
    public void Every_mapping_is_found_by_both_ways_and_nothing_where_none_is()
    {
        using ClientProcess client = ClientProcess.Start();
        foreach (VmaInfo mapping in ProcessInfo.ReadMaps(client.Pid).Where(mapping => mapping.Path != "[vsyscall]"))
        {
            AssertFound(client.Pid, mapping.Start, mapping.Start, mapping.End);
            AssertFound(client.Pid, mapping.End - 1, mapping.Start, mapping.End);
        }

        foreach (ulong nowhere in new[] { 0UL, Page, (1UL << 47) - Page })
        {
            Assert.Equal(Errno.ENOENT, ProcessMap.Find(client.Pid, nowhere, out ulong start, out ulong end));
            Assert.Equal((0UL, 0UL), (start, end));
            Assert.Equal(Errno.ENOENT, InText(client.Pid, nowhere, out _, out _));
        }
    }

    [Fact]
    public void Text_with_more_mappings_than_one_read_brings_is_read_to_its_end()
    {
        using ClientProcess client = ClientProcess.Start();
        (ulong at, _) = client.Map("anon", 2000 * Page);
        for (ulong page = 1; page < 2000; page += 2)
            client.Run($"mprotect {at + (page * Page)} {Page} 1");
        AssertFound(client.Pid, at + (1001 * Page), at + (1001 * Page), at + (1002 * Page));
        AssertFound(client.Pid, at + (1999 * Page), at + (1999 * Page), at + (2000 * Page));
    }

    [Fact]
    public void Process_that_is_gone_has_nothing_there()
    {
        ClientProcess client = ClientProcess.Start();
        (ulong at, _) = client.Map("anon", Page);
        int pid = client.Pid;
        client.Dispose();
        Assert.Equal(Errno.ENOENT, ProcessMap.Find(pid, at, out _, out _));
    }

    private static void AssertFound(int pid, ulong address, ulong start, ulong end)
    {
        Assert.Equal(Errno.OK, ProcessMap.Find(pid, address, out ulong foundStart, out ulong foundEnd));
        Assert.Equal((start, end), (foundStart, foundEnd));
        Assert.Equal(Errno.OK, InText(pid, address, out foundStart, out foundEnd));
        Assert.Equal((start, end), (foundStart, foundEnd));
    }

    private static Errno InText(int pid, ulong address, out ulong start, out ulong end)
    {
        using SafeFile maps = FileIo.Open($"/proc/{pid}/maps", OpenFlags.ReadOnly);
        return ProcessMap.FindInText(maps, address, out start, out end);
    }
}
