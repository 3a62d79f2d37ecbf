using UffdManager.Linux;
using Xunit;

namespace UffdManager.TestSupport;

/// <summary>
/// What a test needs of the machine. Missing, the test is skipped with the reason; on a machine that must have everything
/// (<c>UFFD_TEST_REQUIRE=all</c>) it fails, so that a broken machine cannot pass as a green run.
/// </summary>
public static class Require
{
    private static bool MustHaveAll => Environment.GetEnvironmentVariable("UFFD_TEST_REQUIRE") == "all";

    /// <summary>Goes on when <paramref name="condition"/> holds. The test carries <c>[SkippableFact]</c> or <c>[SkippableTheory]</c>.</summary>
    public static void That(bool condition, string reason)
    {
        if (!condition && MustHaveAll)
            Assert.Fail("UFFD_TEST_REQUIRE=all, but: " + reason);
        Skip.IfNot(condition, reason);
    }

    /// <summary>Needs uid 0.</summary>
    public static void Root() => That(Environment.IsPrivilegedProcess, "needs root");

    /// <summary>Needs the right to mount, which root in a container has not.</summary>
    public static void Mounting() => That(Environment.IsPrivilegedProcess && Capabilities.HasEffective(Capabilities.SysAdmin), "needs root with CAP_SYS_ADMIN, to mount");
}
