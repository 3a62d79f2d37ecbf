using System.Text.Json;

namespace UffdManager.Daemon.Dashboard;

/// <summary>
/// Counts the pages of regions for all open pages together: one session at a time, never for more than a tenth of the time, and once for
/// everybody who asks the same within a second. A fault waits for a slice of it at most; this bounds what slices together take from a loop. Any thread.
/// </summary>
internal sealed class MemoryCounter(ILiveSource source, TimeProvider time) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(long Session, int Page), Task<MemoryAnswer>> _answers = [];
    private readonly SemaphoreSlim _counting = new(1, 1);

    /// <summary>The regions of a session; waits for its turn.</summary>
    /// <exception cref="OperationCanceledException">Whoever asked has gone; those who asked the same get their answer.</exception>
    public Task<MemoryAnswer> AskAsync(long session, int page, CancellationToken cancellationToken)
    {
        Task<MemoryAnswer>? answer;
        lock (_gate)
        {
            if (!_answers.TryGetValue((session, page), out answer))
            {
                if (_answers.Count >= DashboardLimits.MemoryRequests)
                    return Task.FromResult(MemoryAnswer.Unavailable("too many sessions are looked at; this one will be when it is its turn"));
                answer = Task.Run(() => CountAsync(session, page), CancellationToken.None);
                _answers.Add((session, page), answer);
            }
        }

        return answer.WaitAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose() => _counting.Dispose();

    private async Task<MemoryAnswer> CountAsync(long session, int page)
    {
        await _counting.WaitAsync();
        long begin = time.GetTimestamp();
        try
        {
            return await AnswerAsync(session, page);
        }
        finally
        {
            _ = RestAsync((session, page), time.GetElapsedTime(begin));
        }
    }

    private async Task RestAsync((long Session, int Page) key, TimeSpan worked)
    {
        TimeSpan rest = worked * DashboardLimits.MemoryRest;
        TimeSpan young = DashboardLimits.MemoryAge;

        // Two spans of time, not waits for something to happen: how long counting rests, and how long an answer is given again.
        await Task.Delay(rest < young ? rest : young, time);
        if (rest < young)
        {
            _counting.Release();
            await Task.Delay(young - rest, time);
            Forget(key);
        }
        else
        {
            Forget(key);
            await Task.Delay(rest - young, time);
            _counting.Release();
        }
    }

    private void Forget((long Session, int Page) key)
    {
        lock (_gate)
            _answers.Remove(key);
    }

    private async Task<MemoryAnswer> AnswerAsync(long session, int page)
    {
        try
        {
            return await source.MemoryAsync(session, page, CancellationToken.None) is { } memory
                ? MemoryAnswer.Of(JsonSerializer.SerializeToUtf8Bytes(memory, DashboardJson.Default.SessionMemory))
                : MemoryAnswer.Gone(session);
        }
        catch (TimeoutException)
        {
            return MemoryAnswer.Unavailable("the fault loop of the session does not answer");
        }
        catch (ObjectDisposedException)
        {
            return MemoryAnswer.Unavailable("the daemon stops");
        }
    }
}
