namespace UffdManager.Linux.Tests.Conformance;

/// <summary>Whose memory the calls of a row act on.</summary>
[Flags]
public enum Places
{
    None = 0,
    SameProcess = 1,
    OtherProcess = 2,
    Both = SameProcess | OtherProcess,
}
