using System.Diagnostics;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>What a descriptor is, is told by the kernel and not by a name that its sender chose.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class HandedKindTests
{
    [Fact]
    public void Memory_is_told_from_other_files()
    {
        using SafeMemfd memory = Memfd.Create("guest", MemfdFlags.None);
        using SafeEventFd other = EventFd.Create();
        using SafeUffd uffd = Userfaultfd.Open(UffdOpenFlags.None);
        Assert.Equal((HandedKind.Memfd, HandedKind.Other, HandedKind.Userfaultfd), (HandedKinds.Of(memory), HandedKinds.Of(other), HandedKinds.Of(uffd)));
    }

    [SkippableFact]
    public void File_with_the_name_of_a_memfd_on_another_file_system_is_none()
    {
        Require.Mounting();
        using TempDirectory directory = new();
        Run("mount", "-t", "ramfs", "none", directory.Path);
        SafeFile imitation;
        try
        {
            Directory.CreateDirectory(directory.Combine("memfd:guest"));
            File.WriteAllText(directory.Combine("memfd:guest/f"), "");
            imitation = FileIo.Open(directory.Combine("memfd:guest/f"), OpenFlags.ReadOnly);
        }
        finally
        {
            // A mount that hangs nowhere: names in it begin at its root, as those of another mount namespace do.
            Run("umount", "-l", directory.Path);
        }

        using (imitation)
        {
            Assert.Equal("/memfd:guest/f", FileIo.ReadDescriptorLink(imitation));
            Assert.Equal(HandedKind.Other, HandedKinds.Of(imitation));
        }
    }

    private static void Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(program, arguments);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }
}
