using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>What of a mapping is in memory.</content>
public static unsafe partial class NativePages
{
    /// <summary>
    /// Whether every page of a range of a file mapping is in the page cache, by mincore(2). For a file that this process neither owns nor
    /// may write, the kernel answers yes whatever the truth (since 5.2).
    /// </summary>
    /// <param name="address">Page aligned.</param>
    /// <param name="bytes">At most 16 MiB.</param>
    public static bool IsResident(nuint address, int bytes)
    {
        int pages = (bytes + Environment.SystemPageSize - 1) / Environment.SystemPageSize;
        byte* vector = stackalloc byte[pages];
        if (Mincore(address, (nuint)bytes, vector) < 0)
            return false;

        for (int i = 0; i < pages; i++)
        {
            if ((vector[i] & 1) == 0)
                return false;
        }

        return true;
    }

    [LibraryImport(Libc.Name, EntryPoint = "mincore", SetLastError = true)]
    private static partial int Mincore(nuint address, nuint length, byte* vector);
}
