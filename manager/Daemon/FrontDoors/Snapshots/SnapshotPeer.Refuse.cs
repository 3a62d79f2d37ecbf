using UffdManager.Daemon.Hosting;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <content>The end of who is not served.</content>
internal sealed partial class SnapshotPeer
{
    // A VMM's userfaultfd comes with its first bytes; who sends it later than this is not saved from waiting for its own pages.
    private const int MostLooks = 16;

    private static readonly TimeSpan s_lookAgain = TimeSpan.FromMilliseconds(100);

    private bool _isWhole;

    // Nothing can arrive after it was looked whether anything has.
    private void Refuse(HandOverRefusal refusal, string text)
    {
        if (_isClosed || _isCondemned)
            return;
        if (_isLeaving)
        {
            // All that came is in the socket still: the next manager decides about it, as if this one had never looked.
            Dispose();
            return;
        }

        UnixSocket.StopReceiving(_socket);
        if (_entry is not null)
            _entry.Refused++;
        if (!IsOwedAnEnd(refusal))
        {
            _loop.LogTurnedAway(_process.Identity.ToString(), _listener.Options.Path, text);
            Dispose();
            return;
        }

        // First the process, then the descriptors: in the other order it could read zeros in between.
        _isCondemned = true;
        Errno errno = _process.Kill();
        _loop.Services.Telemetry.VmKilled(SnapshotDoor.DoorName, refusal);
        _loop.LogKilled(_process.Identity, TenantName, _listener.Options.Path, text, errno);
        Deadline = 0;
        Unwatch();
        AwaitEnd();
    }

    /// <summary>
    /// Whether it is to be killed: it has handed its memory over and would wait for ever; or it sent a whole message without it, or descriptors that are none, to a socket that is meant for it, and
    /// takes its memory for served. Text alone, from whomever, is no reason.
    /// </summary>
    private bool IsOwedAnEnd(HandOverRefusal refusal)
    {
        if (_wasTaken || _isShort || _kinds.Contains(HandedKind.Userfaultfd) || (refusal == HandOverRefusal.BadMessage && (_isWhole || _descriptors.Count > 0)))
            return true;
        if (!_isTaking && _bytes.Count == 0)
            UnixSocket.PeekFromStart(_socket);

        // What it sent cannot be taken in without piling up what cannot be closed. Who is a tenant's VM has sent its memory, if anything.
        if (_loop.Blocking.IsClogged(TenantName))
            return _entry is not null && UnixSocket.HasArrived(_socket);
        for (int i = 0; i < MostLooks && _descriptors.Count == 0; i++)
        {
            Errno errno = _isTaking
                ? UnixSocket.Receive(_socket, _loop.ReceiveBuffer, _descriptors, dontWait: true, out ReceivedMessage received)
                : UnixSocket.Peek(_socket, _loop.ReceiveBuffer, _descriptors, out received);
            if (errno != Errno.OK || received.EndOfStream)
                break;

            // Descriptors that there was no room for: of a tenant's VM they are its memory.
            if (received.ControlTruncated && _entry is not null)
                return true;
        }

        for (int i = _kinds.Count; i < _descriptors.Count; i++)
            _kinds.Add(HandedKinds.Of(_descriptors.Borrow(i)!));
        return _kinds.Contains(HandedKind.Userfaultfd);
    }

    // SIGKILL is on its way when kill returns, and a processor may be in the middle of a page until it arrives. And who cannot be killed keeps its userfaultfd here, and waits, as long as it lives: it must not read zeros.
    private void AwaitEnd()
    {
        if (!_process.IsAlive)
        {
            Dispose();
            return;
        }

        if (_isEndWatched)
            return;
        try
        {
            _process.WatchEnd(_loop.Poll, _key);
            _isEndWatched = true;
        }
        catch (SyscallException)
        {
            // No memory to watch it: looked at now and then.
            Deadline = _loop.ExpectWithin(this, s_lookAgain);
        }
    }
}
