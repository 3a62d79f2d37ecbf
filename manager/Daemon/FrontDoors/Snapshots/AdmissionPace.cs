namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>
/// How fast strangers are let in at one socket. Each is stored before anybody can know who it is, and taken out again, which the service manager pays for with a look at everything that it
/// keeps: who connects and goes away in a loop would keep it busy, and with it all who want a session stored. So each is charged, and a VM that becomes a session is given its charge
/// back: as many can be restored at once as there are. Belongs to the front door's thread.
/// </summary>
/// <param name="time">Measures.</param>
internal sealed class AdmissionPace(TimeProvider time)
{
    /// <summary>So many at once.</summary>
    public const int Burst = 256;

    /// <summary>And so many a second for ever.</summary>
    public const int PerSecond = 32;

    private double _left = Burst;
    private long _at = time.GetTimestamp();

    /// <summary>Whether one more may come.</summary>
    public bool HasRoom
    {
        get
        {
            long now = time.GetTimestamp();
            _left = Math.Min(Burst, _left + (time.GetElapsedTime(_at, now).TotalSeconds * PerSecond));
            _at = now;
            return _left >= 1;
        }
    }

    /// <summary>One was let in.</summary>
    public void Charge() => _left--;

    /// <summary>One of them was no stranger.</summary>
    public void GiveBack() => _left++;
}
