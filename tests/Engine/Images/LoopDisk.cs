using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>A file system on a loop device whose end can be torn off: reads of what lay there fail with EIO, as from a dying disk.</summary>
internal sealed class LoopDisk : IDisposable
{
    private const int PageBytes = 4096;
    private const int DiskBytes = 32 << 20;

    private readonly string _backing;
    private readonly string _mount;
    private readonly string _device;
    private byte[] _torn = [];
    private long _tornAt;

    private LoopDisk(string backing, string mount, string device)
    {
        _backing = backing;
        _mount = mount;
        _device = device;
    }

    public string File => Path.Combine(_mount, "image");

    /// <summary>Makes one with a file of pages, each of which is filled with one byte; nothing of it is in the page cache.</summary>
    public static LoopDisk With(TempDirectory directory, byte[] pages)
    {
        Require.Mounting();
        string backing = directory.Combine("disk");
        string mount = Directory.CreateDirectory(directory.Combine("mount")).FullName;
        using (FileStream file = new(backing, FileMode.CreateNew))
            file.SetLength(DiskBytes);
        string device = Run("losetup", "--find", "--show", "--direct-io=on", backing).Trim();
        LoopDisk disk = new(backing, mount, device);
        try
        {
            // Without direct I/O the loop device makes zeros of what it cannot read.
            Require.That(System.IO.File.ReadAllText($"/sys/block/{Path.GetFileName(device)}/loop/dio").Trim() == "1", "the loop device cannot do direct I/O on the temporary directory");
            Run("mkfs.ext4", "-q", "-b", "4096", "-O", "^has_journal", device);
            Run("mount", device, mount);
            using (FileStream file = new(disk.File, FileMode.CreateNew))
            {
                for (int page = 0; page < pages.Length; page++)
                    file.Write(Contents(page, pages[page]));
                file.Flush(flushToDisk: true);
            }

            Run("umount", mount);
            Run("mount", "-o", "ro", device, mount);
            return disk;
        }
        catch
        {
            disk.Dispose();
            throw;
        }
    }

    /// <summary>Tears off a page and everything that lies behind it on the disk; which pages of the file are gone.</summary>
    public HashSet<int> TearOff(int first, byte[] pages)
    {
        byte[] disk = System.IO.File.ReadAllBytes(_backing);
        int[] places = [.. pages.Select((value, page) => disk.AsSpan().IndexOf(Contents(page, value)))];
        Assert.DoesNotContain(-1, places);
        _tornAt = places[first];
        _torn = disk[(int)_tornAt..];
        using FileStream file = new(_backing, FileMode.Open);
        file.SetLength(_tornAt);
        return [.. Enumerable.Range(0, pages.Length).Where(page => places[page] >= _tornAt)];
    }

    /// <summary>Puts back what was torn off.</summary>
    public void PutBack()
    {
        using FileStream file = new(_backing, FileMode.Open);
        file.Position = _tornAt;
        file.Write(_torn);
        file.Flush(flushToDisk: true);
    }

    public void Dispose()
    {
        TryRun("umount", "--lazy", _mount);
        TryRun("losetup", "--detach", _device);
    }

    // Its number at the end, so that each page of the disk can be found again.
    private static byte[] Contents(int page, byte value)
    {
        byte[] contents = new byte[PageBytes];
        contents.AsSpan().Fill(value);
        MemoryMarshal.Write(contents.AsSpan(PageBytes - sizeof(ulong)), 0x5eed_0000_0000_0000ul | (uint)page);
        return contents;
    }

    private static string Run(string program, params string[] arguments)
    {
        (int code, string output) = Start(program, arguments);
        Require.That(code == 0, $"{program} {string.Join(' ', arguments)} does not work here");
        return output;
    }

    private static void TryRun(string program, params string[] arguments) => _ = Start(program, arguments);

    private static (int Code, string Output) Start(string program, string[] arguments)
    {
        try
        {
            ProcessStartInfo start = new(program, arguments) { RedirectStandardOutput = true, UseShellExecute = false };
            using Process process = Process.Start(start)!;
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, output);
        }
        catch (Win32Exception)
        {
            return (127, "");
        }
    }
}
