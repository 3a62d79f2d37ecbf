using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>
/// What userfaultfd(2) does, ioctl by ioctl, on every memory type, to our own memory and to another process's: the behaviour that the
/// engine is built on.
/// </summary>
public sealed class ConformanceTests
{
    private static readonly IReadOnlyList<Row> s_rows =
        [.. HandshakeRows.All, .. FillRows.All, .. MinorRows.All, .. WriteProtectRows.All, .. EventRows.All, .. LifeRows.All, .. TrackingRows.All];

    public static TheoryData<string, MemoryKinds, Places> Matrix
    {
        get
        {
            TheoryData<string, MemoryKinds, Places> data = [];
            MemoryKinds[] kinds = [MemoryKinds.Anonymous, MemoryKinds.SharedMemfd, MemoryKinds.PrivateMemfd, MemoryKinds.Hugetlb];
            foreach (Row row in s_rows)
            {
                foreach (MemoryKinds kind in kinds.Where(k => row.Memory.HasFlag(k)))
                {
                    foreach (Places place in new[] { Places.SameProcess, Places.OtherProcess }.Where(p => row.Places.HasFlag(p)))
                        data.Add(row.Name, kind, place);
                }
            }

            return data;
        }
    }

    [SkippableTheory]
    [MemberData(nameof(Matrix))]
    public void Userfaultfd_conforms(string row, MemoryKinds memory, Places place)
    {
        Require.That(
            Capabilities.HasEffective(Capabilities.SysPtrace), "needs CAP_SYS_PTRACE for a userfaultfd that handles faults of the kernel");
        DescriptorWatch watch = DescriptorWatch.Start();
        using (Arena arena = new(memory, place))
            s_rows.Single(r => r.Name == row).Body(arena);
        watch.AssertUnchanged();
    }

    [Fact]
    public void Rows_have_names_of_their_own() => Assert.Equal(s_rows.Count, s_rows.Select(r => r.Name).Distinct(StringComparer.Ordinal).Count());
}
