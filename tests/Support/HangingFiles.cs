using System.Diagnostics;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.TestSupport;

/// <summary>A file system that does not answer (tests/native/hanging-files.c), until this is disposed.</summary>
public sealed class HangingFiles : IDisposable
{
    /// <summary>Size of <see cref="Memory"/>.</summary>
    public const long MemoryBytes = 64 << 10;

    private readonly TempDirectory _directory = new();
    private readonly Process _server;
    private bool _isMounted = true;

    private HangingFiles()
    {
        _server = Process.Start(new ProcessStartInfo(NativeProgram.Build("hanging-files.c"), [_directory.Path]) { RedirectStandardOutput = true, UseShellExecute = false })!;
        Assert.Equal("mounted", _server.StandardOutput.ReadLine());
    }

    /// <summary>A name in it that is looked up for ever.</summary>
    public string Hanging => _directory.Combine("hang");

    /// <summary>Where it is mounted.</summary>
    public string Path => _directory.Path;

    /// <summary>A file of <see cref="MemoryBytes"/> that is opened and looked at like any other, and of which a read waits for ever.</summary>
    public string Memory => _directory.Combine("memory");

    /// <summary>Mounts one; skips the test where that cannot be done.</summary>
    public static HangingFiles Mount()
    {
        Require.Mounting();
        Require.That(File.Exists("/dev/fuse"), "there is no /dev/fuse");
        return new HangingFiles();
    }

    /// <summary>
    /// A file whose close(2) waits for ever, with the name of a memfd. As long as it is open no process can be started: the new one closes its descriptors before it begins.
    /// </summary>
    /// <returns>Owned by the caller, who closes it when the server has ended.</returns>
    public SafeFile OpenImitation()
    {
        SafeFile file = FileIo.Open(_directory.Combine("memfd:guest/f"), OpenFlags.ReadOnly);
        _isMounted = false;
        Eventually.True(() => FileIo.ReadDescriptorLink(file) == "/memfd:guest/f", "the file system to leave the tree");
        return file;
    }

    /// <summary>Everything that waits for it fails.</summary>
    public void End()
    {
        if (!_server.HasExited)
            _server.Kill();
        _server.WaitForExit();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        End();
        _server.Dispose();
        Unmount();
        _directory.Dispose();
    }

    private void Unmount()
    {
        if (!_isMounted)
            return;
        using Process umount = Process.Start("umount", ["-l", _directory.Path]);
        umount.WaitForExit();
        Assert.Equal(0, umount.ExitCode);
        _isMounted = false;
    }
}
