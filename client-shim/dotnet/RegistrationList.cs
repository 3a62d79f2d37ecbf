namespace UffdManager.Client;

/// <summary>The ranges that a client has registered, by address and without overlap. Any thread.</summary>
internal sealed class RegistrationList
{
    private readonly Lock _gate = new();
    private readonly SortedList<ulong, Registration> _byStart = [];

    /// <summary>Adds a range; what it overlaps is cut away, as a later registration says what is true.</summary>
    public void Add(Registration registration)
    {
        lock (_gate)
        {
            CutOut(registration.Request.Start, registration.End);
            _byStart.Add(registration.Request.Start, registration);
        }
    }

    /// <summary>Forgets whatever lies in a range.</summary>
    public void Remove(ulong start, ulong length)
    {
        lock (_gate)
            CutOut(start, start + length);
    }

    /// <summary>The ranges at this moment.</summary>
    public Registration[] Snapshot()
    {
        lock (_gate)
            return [.. _byStart.Values];
    }

    private void CutOut(ulong start, ulong end)
    {
        foreach (Registration held in _byStart.Values.Where(held => held.Request.Start < end && start < held.End).ToArray())
        {
            _byStart.Remove(held.Request.Start);
            if (held.Request.Start < start)
                _byStart.Add(held.Request.Start, held.Cut(held.Request.Start, start));
            if (end < held.End)
                _byStart.Add(end, held.Cut(end, held.End));
        }
    }
}
