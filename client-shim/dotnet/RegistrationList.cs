namespace UffdManager.Client;

/// <summary>The ranges that a client has registered, by address and without overlap. Any thread.</summary>
internal sealed class RegistrationList
{
    private readonly Lock _gate = new();
    private readonly SortedList<ulong, Registration> _byStart = [];

    /// <summary>Adds a range; what it overlaps is cut away, as a later registration says what is true.</summary>
    /// <returns>The parts that were cut away.</returns>
    public Registration[] Add(Registration registration)
    {
        lock (_gate)
        {
            Registration[] replaced = CutOut(registration.Request.Start, registration.End);
            _byStart.Add(registration.Request.Start, registration);
            return replaced;
        }
    }

    /// <summary>Takes an addition back: the manager has refused it, and what it was to replace is still true.</summary>
    public void Undo(Registration registration, Registration[] replaced)
    {
        lock (_gate)
        {
            CutOut(registration.Request.Start, registration.End);
            foreach (Registration part in replaced)
                _byStart.Add(part.Request.Start, part);
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

    private Registration[] CutOut(ulong start, ulong end)
    {
        Registration[] touched = [.. _byStart.Values.Where(held => held.Request.Start < end && start < held.End)];
        foreach (Registration held in touched)
        {
            _byStart.Remove(held.Request.Start);
            if (held.Request.Start < start)
                _byStart.Add(held.Request.Start, held.Cut(held.Request.Start, start));
            if (end < held.End)
                _byStart.Add(end, held.Cut(end, held.End));
        }

        return [.. touched.Select(held => held.Cut(Math.Max(start, held.Request.Start), Math.Min(end, held.End)))];
    }
}
