namespace UffdManager.Linux;

/// <content>The program that a process executes.</content>
public static partial class ProcessInfo
{
    /// <summary>
    /// What the kernel told the program when it was started (/proc/PID/auxv, getauxval(3)): above all where it, its interpreter, its stack and the vDSO lie. fork(2) inherits all of it, execve(2) makes it anew,
    /// at other addresses where these are random. Empty when the process is gone, or not ours to look at.
    /// </summary>
    public static byte[] ReadAuxiliaryVector(int pid)
    {
        try
        {
            return File.ReadAllBytes($"/proc/{pid}/auxv");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
