namespace UffdManager.Daemon.Cli;

/// <summary>What the process returns, after sysexits(3). Listed in uffd-manager(8).</summary>
internal static class ExitCode
{
    public const int Ok = 0;

    /// <summary>EX_USAGE: the command line cannot be understood.</summary>
    public const int Usage = 64;

    /// <summary>EX_UNAVAILABLE: something the daemon needs is taken, for example the metrics port.</summary>
    public const int Unavailable = 69;

    /// <summary>EX_SOFTWARE: a defect of the daemon.</summary>
    public const int Software = 70;

    /// <summary>EX_OSERR: the kernel lacks a feature.</summary>
    public const int KernelLacksFeature = 71;

    /// <summary>EX_CANTCREAT: a socket cannot be created.</summary>
    public const int CannotCreate = 73;

    /// <summary>EX_TEMPFAIL: the daemon cannot start, but sessions of its predecessor wait for it: it has to be tried again.</summary>
    public const int TemporaryFailure = 75;

    /// <summary>EX_NOPERM: a privilege or permission is missing.</summary>
    public const int Permission = 77;

    /// <summary>EX_CONFIG: the configuration cannot be used.</summary>
    public const int Configuration = 78;
}
