namespace UffdManager.Cli;

/// <summary>What the process returns, after sysexits(3). Listed in uffdctl(1); a test compares the two.</summary>
internal static class ExitCode
{
    public const int Ok = 0;

    /// <summary>The answer is no: the operator's, whether to go on; or the manager's, when there is none of what was asked for.</summary>
    public const int No = 1;

    /// <summary>EX_USAGE: the command line cannot be understood.</summary>
    public const int Usage = 64;

    /// <summary>EX_NOINPUT: there is no such session, region, tenant, policy, image, working set or snapshot.</summary>
    public const int NotFound = 66;

    /// <summary>EX_UNAVAILABLE: the manager cannot be reached.</summary>
    public const int Unavailable = 69;

    /// <summary>EX_SOFTWARE: a defect, of this program or of the manager.</summary>
    public const int Software = 70;

    /// <summary>EX_OSERR: the kernel refused what the manager tried.</summary>
    public const int OperatingSystem = 71;

    /// <summary>EX_CANTCREAT: the output file cannot be written.</summary>
    public const int CannotCreate = 73;

    /// <summary>EX_IOERR: standard output cannot be written.</summary>
    public const int InputOutput = 74;

    /// <summary>EX_TEMPFAIL: not now; the same again may work later.</summary>
    public const int TemporaryFailure = 75;

    /// <summary>EX_PROTOCOL: what answers is no manager, or one of another version.</summary>
    public const int Protocol = 76;

    /// <summary>EX_NOPERM: the caller may not do this.</summary>
    public const int Permission = 77;

    /// <summary>EX_CONFIG: the configuration has errors.</summary>
    public const int Configuration = 78;

    /// <summary>Ended by SIGHUP, as shells report it.</summary>
    public const int HungUp = 129;

    /// <summary>Ended by Ctrl-C (SIGINT), as shells report it.</summary>
    public const int Interrupted = 130;

    /// <summary>Ended by SIGTERM, as shells report it.</summary>
    public const int Terminated = 143;
}
