namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// What becomes of a page's score by what a run did with it. A page of the first run is replayed from then on; one that turns up later has to be
/// needed in two runs, so that what each run touches of its own never gets in. One that was seen not to be needed twice, or once when it was
/// new, is out.
/// </summary>
internal static class TraceScores
{
    /// <summary>From here on a page is replayed.</summary>
    public const byte Replayed = 96;

    /// <summary>A page that nothing was known against.</summary>
    public const byte First = 128;

    /// <summary>A page that earlier runs did not need.</summary>
    public const byte Candidate = 64;

    private const byte Forgotten = 16;

    public static byte Used(byte score) => (byte)(score + ((256 - score) / 2));

    /// <summary>0: forget it.</summary>
    public static byte Unused(byte score) => score / 2 < Forgotten ? (byte)0 : (byte)(score / 2);
}
