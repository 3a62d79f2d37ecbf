using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>Who this process is.</content>
public static partial class ProcessInfo
{
    /// <summary>The effective user id, geteuid(2).</summary>
    public static uint EffectiveUid => GetEffectiveUid();

    [LibraryImport(Libc.Name, EntryPoint = "geteuid")]
    private static partial uint GetEffectiveUid();
}
