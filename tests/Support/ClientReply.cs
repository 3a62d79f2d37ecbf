using UffdManager.Linux;
using Xunit;

namespace UffdManager.TestSupport;

/// <summary>How a command of <see cref="ClientProcess"/> ended.</summary>
/// <param name="Command">What was asked.</param>
/// <param name="Errno">OK, or why the client's system call failed.</param>
/// <param name="Signal">The signal the command ran into: 7 SIGBUS, 11 SIGSEGV; else 0.</param>
/// <param name="Values">The answer's numbers; after a signal its code and address.</param>
public sealed record ClientReply(string Command, Errno Errno, int Signal, IReadOnlyList<ulong> Values)
{
    /// <summary>SIGBUS on x86-64 and arm64.</summary>
    public const int Sigbus = 7;

    /// <summary>SIGSEGV.</summary>
    public const int Sigsegv = 11;

    /// <summary>True when the command did what it was asked.</summary>
    public bool Succeeded => Errno == Errno.OK && Signal == 0;

    /// <summary>The first number of the answer; fails the test when the command failed.</summary>
    public ulong Value
    {
        get
        {
            Assert.True(Succeeded, $"client: {Command}: {(Signal != 0 ? $"signal {Signal}" : Errno.Describe())}");
            return Values[0];
        }
    }
}
