using UffdManager.Engine.State;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Units;

public sealed class StateMemoryTests
{
    private const ulong BlockBytes = 512;

    [Fact]
    public void Session_takes_no_huge_page_where_shared_memory_gets_them_without_being_asked()
    {
        using SharedHugePages always = new("always");
        using StateMemory memory = StateMemory.Create(new MemoryGauge());
        memory.Assign(1);
        Assert.InRange(AllocatedBytes(memory), memory.ReservedBytes, 2 * memory.ReservedBytes);

        // As it grows, too.
        ulong before = memory.ReservedBytes;
        while (memory.ReservedBytes == before)
        {
            Assert.NotEqual((nuint)0, memory.TryAllocate(StateMemory.LargeKind));
        }

        Assert.InRange(AllocatedBytes(memory), memory.ReservedBytes, 2 * memory.ReservedBytes);
    }

    private static ulong AllocatedBytes(StateMemory memory) => (ulong)FileIo.Stat(memory.Memfd).Blocks * BlockBytes;
}
