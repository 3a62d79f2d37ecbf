using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Parsers of /proc.</summary>
public sealed class ProcessInfoTests
{
    [Theory]
    [InlineData("0::/user.slice/a.scope\n", "/user.slice/a.scope")]
    [InlineData("0::/odd:name\n", "/odd:name")]
    [InlineData("12:memory:/limits/a\n1:name=systemd:/s\n0::/\n", "/limits/a")]
    [InlineData("3:cpu,memory:/m\n", "/m")]
    [InlineData("1:name=systemd:/init\n", "/init")]
    [InlineData("0::/\n", "/")]
    [InlineData("5:pids:/p\n", null)]
    [InlineData("", null)]
    public void Control_group_is_the_unified_one_or_that_of_memory(string text, string? expected) =>
        Assert.Equal(expected, ProcessInfo.ChooseCgroup(text));

    [Fact]
    public void Mappings_are_read_with_what_a_userfaultfd_has_registered()
    {
        using ClientProcess client = ClientProcess.Start();
        (ulong anonymous, _) = client.Map("anon", 8 * 4096);
        (ulong shared, _) = client.Map("memfd-shared", 4 * 4096);
        using SafeUffd uffd = client.OpenUffd(UffdOpenFlags.UserModeOnly);
        Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.WpHugetlbfsShmem, out _, out _));
        const UffdRegisterModes Both = UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect;
        Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, anonymous + 4096, 2 * 4096, Both, out _));
        Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, shared, 4096, UffdRegisterModes.Minor, out _));

        IReadOnlyList<VmaInfo> mappings = ProcessInfo.ReadSmaps(client.Pid);
        VmaInfo registered = mappings.Single(v => v.Start == anonymous + 4096);
        Assert.Equal((Both, 2UL * 4096, 4096UL, false), (registered.UffdModes, registered.Length, registered.PageSize, registered.Shared));
        Assert.Equal(PageProtection.Read | PageProtection.Write, registered.Protection);
        Assert.Equal("", registered.Path);
        Assert.Equal(UffdRegisterModes.None, mappings.Single(v => v.End == anonymous + 4096 && v.Start <= anonymous).UffdModes);
        VmaInfo file = mappings.Single(v => v.Start == shared);
        Assert.Equal((UffdRegisterModes.Minor, true, 0UL), (file.UffdModes, file.Shared, file.Offset));
        Assert.Equal("/memfd:uffd-client (deleted)", file.Path);
        Assert.Equal(4096UL, mappings.Single(v => v.Start == shared + 4096).Offset);
        Assert.Contains(mappings, v => v.Path == "[stack]" && v.HasFlag("gd"));
        Assert.True(mappings.Zip(mappings.Skip(1)).All(p => p.First.End <= p.Second.Start), "ascending");
    }

    [SkippableFact]
    public void Auxiliary_vector_is_inherited_by_fork_and_made_anew_by_exec()
    {
        using ClientProcess client = ClientProcess.Start();
        byte[] own = ProcessInfo.ReadAuxiliaryVector(client.Pid);
        Assert.NotEmpty(own);
        client.Run("fork");
        using ClientProcess child = client.AcceptChild();
        Assert.Equal(own, ProcessInfo.ReadAuxiliaryVector(child.Pid));
        Require.That(File.ReadAllText("/proc/sys/kernel/randomize_va_space").Trim() != "0", "addresses are not random here");
        _ = child.Begin("exec");
        using ClientProcess other = child.AcceptChild();
        Assert.NotEqual(own, ProcessInfo.ReadAuxiliaryVector(other.Pid));
        other.Kill();
        Assert.Empty(ProcessInfo.ReadAuxiliaryVector(other.Pid));
    }

    [Fact]
    public void Mappings_of_huge_pages_tell_their_page_size()
    {
        const string Text = """
            7f0000000000-7f0000800000 rw-s 00200000 00:0f 77                         /memfd:a b (deleted)
            Size:               8192 kB
            KernelPageSize:     2048 kB
            Rss:                   4 kB
            VmFlags: rd wr sh mr mw me ms de ht um uw
            7f0000800000-7f0000801000 ---p 00000000 00:00 0
            KernelPageSize:        4 kB
            VmFlags: mr mw me ac
            """;
        IReadOnlyList<VmaInfo> mappings = ProcessInfo.ParseSmaps(Text);
        Assert.Equal(2, mappings.Count);
        Assert.Equal(
            (2UL << 20, "/memfd:a b (deleted)", 0x200000UL, 77UL, 4096UL),
            (mappings[0].PageSize, mappings[0].Path, mappings[0].Offset, mappings[0].Inode, mappings[0].ResidentBytes));
        Assert.True(mappings[0].HasFlag("ht"));
        Assert.False(mappings[0].HasFlag("t"));
        Assert.Equal(PageProtection.None, mappings[1].Protection);
        Assert.Equal(UffdRegisterModes.None, mappings[1].UffdModes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("pending:\t0\ntotal:\t0\n")]
    [InlineData("pending:\t0\ntotal:\t0\nAPI:\taa:0\n")]
    [InlineData("pending:\tx\ntotal:\t0\nAPI:\taa:0:0\n")]
    public void Fdinfo_of_something_else_is_refused(string text) => Assert.Throws<FormatException>(() => UffdFdInfoReader.Parse(text));

    [Fact]
    public void Capabilities_limits_and_cpus_are_those_of_the_process()
    {
        Assert.Equal(Environment.IsPrivilegedProcess, Capabilities.HasEffective(Capabilities.Kill));
        Assert.False(Capabilities.HasEffective(63));
        (ulong soft, ulong hard) = Rlimits.GetNoFile();
        Assert.True(soft <= hard && soft > 0);
        Rlimits.RaiseNoFile();
        Assert.Equal(hard, Rlimits.GetNoFile().Soft);
        Assert.InRange(Affinity.OnlineCpus, 1, 8192);
    }

    [Fact]
    public void Thread_is_named_and_bound()
    {
        string? name = null;
        string? allowed = null;
        Errno errno = Errno.EPERM;
        Exception? refused = null;
        Thread thread = new(() =>
        {
            errno = Affinity.SetThreadName("a-name-longer-than-fifteen");
            Affinity.PinCurrentThread(0);
            name = File.ReadAllText("/proc/thread-self/comm").Trim();
            allowed = File.ReadLines("/proc/thread-self/status").First(l => l.StartsWith("Cpus_allowed_list:", StringComparison.Ordinal));
            refused = Record.Exception(() => Affinity.PinCurrentThread(8191));
        });
        thread.Start();
        thread.Join();
        Assert.Equal(Errno.OK, errno);
        Assert.Equal("a-name-longer-t", name);
        Assert.EndsWith("\t0", allowed, StringComparison.Ordinal);
        Assert.Equal(Errno.EINVAL, Assert.IsType<SyscallException>(refused).Errno);
    }

    [Fact]
    public void Errors_read_as_call_subject_and_reason()
    {
        Assert.Equal("EBUSY (Device or resource busy)", Errno.EBUSY.Describe());
        Assert.Equal("errno 4711", ((Errno)4711).Describe());
        Assert.Equal("bind /x: EEXIST (File exists)", new SyscallException(Errno.EEXIST, "bind", "/x").Message);
        Assert.Equal("eventfd: EMFILE (Too many open files)", new SyscallException(Errno.EMFILE, "eventfd", "").Message);
        Assert.All(Enum.GetValues<Errno>(), e => Assert.StartsWith(e + " (", e.Describe(), StringComparison.Ordinal));
    }
}
