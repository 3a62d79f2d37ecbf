namespace UffdManager.Daemon.FrontDoors;

/// <content>The end of a manager that another one follows.</content>
internal sealed partial class DoorLoop
{
    // A request that is being carried out may be answered within this time; whoever gets no answer asks the next manager again.
    private static readonly TimeSpan s_lastAnswers = TimeSpan.FromMilliseconds(40);

    private long _leaveBy;

    /// <summary>
    /// Stops accepting, closes every connection as soon as nothing is under way for it, and ends the thread; from any thread. Sessions and objects stay as they
    /// are: whoever held one of them goes on under the next manager.
    /// </summary>
    public Task HandOverAsync()
    {
        Post(HandOver);
        return Stopped;
    }

    private void HandOver()
    {
        if (_stopping || _leaveBy != 0)
            return;

        // Ours alone: the service manager keeps the socket open, with those who wait in it.
        CloseListener();
        _leaveBy = DueIn(s_lastAnswers);
        foreach (Connection connection in Open())
            Guard(connection, connection.Leave);
    }

    private void Leave(long now)
    {
        if (_leaveBy == 0)
            return;
        if (_leaveBy <= now)
        {
            foreach (Connection connection in Open())
                Guard(connection, connection.LeaveNow);
        }

        if (_open == 0 || _leaveBy <= now)
        {
            _stopping = true;
            End();
        }
    }

    private List<Connection> Open() => [.. Members.OfType<Connection>()];
}
