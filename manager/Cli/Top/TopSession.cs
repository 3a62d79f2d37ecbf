using System.Runtime.InteropServices;
using System.Threading.Channels;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Top;

/// <summary>
/// <c>uffdctl top</c> on a terminal. Frames, keys and changes of the window come in by one queue, and one loop obeys them. It goes on when the manager
/// goes away, and shows the next one.
/// </summary>
internal sealed class TopSession(CommandContext context, string path, TimeSpan silence, TopState state)
{
    private static readonly TimeSpan s_retry = TimeSpan.FromMilliseconds(500);

    private readonly Channel<object> _events = Channel.CreateUnbounded<object>();
    private TopFrameDto? _frame;

    /// <summary>What happens without a key or a frame.</summary>
    private enum Occasion
    {
        Resized,
        Continued,
    }

    public async Task<int> RunAsync(CancellationToken cancel)
    {
        using Interruption interruption = new(cancel);
        using TopScreen screen = new(context.Terminal);
        using var resize = PosixSignalRegistration.Create(PosixSignal.SIGWINCH, _ => _events.Writer.TryWrite(Occasion.Resized));
        using var resume = PosixSignalRegistration.Create(PosixSignal.SIGCONT, _ => _events.Writer.TryWrite(Occasion.Continued));
        using CancellationTokenSource end = CancellationTokenSource.CreateLinkedTokenSource(interruption.Token);
        if (context.Terminal.InputIsTerminal)
            new Thread(ReadKeys) { IsBackground = true, Name = "keys" }.Start();
        Task frames = FollowAsync(end.Token);
        try
        {
            Draw(screen);
            await foreach (object happened in _events.Reader.ReadAllAsync(end.Token))
            {
                if (!Obey(happened, screen))
                    break;
                Draw(screen);
            }
        }
        catch (OperationCanceledException) when (interruption.Token.IsCancellationRequested)
        {
            // Ctrl-C is one of the ways to leave.
        }

        await end.CancelAsync();
        await frames;
        return interruption.Token.IsCancellationRequested && interruption.ExitCode != ExitCode.Interrupted ? interruption.ExitCode : ExitCode.Ok;
    }

    private bool Obey(object happened, TopScreen screen)
    {
        switch (happened)
        {
            case ConsoleKeyInfo key:
                return state.Obey(key, TopView.PageOf(Console.WindowHeight));
            case TopFrameDto frame:
                state.Trouble = null;
                _frame = state.IsPaused ? _frame : frame;
                break;
            case CommandException trouble:
                state.Trouble = $"{trouble.Message}; trying again";
                break;
            case Occasion.Continued:
                screen.Enter();
                break;
        }

        return true;
    }

    private void Draw(TopScreen screen) =>
        screen.Draw(TopView.Render(_frame, state, context.Terminal.Width, Math.Max(Console.WindowHeight, 5), context.Palette));

    // Never throws: what goes wrong is shown.
    private async Task FollowAsync(CancellationToken cancel)
    {
        while (!cancel.IsCancellationRequested)
        {
            try
            {
                await foreach (Answer<TopFrameDto> answer in context.Client.StreamAsync(HttpMethod.Get, path, silence, Documents.Types.TopFrameDto, cancel))
                    _events.Writer.TryWrite(answer.Value);
                _events.Writer.TryWrite(new CommandException(ExitCode.Unavailable, "the manager has ended"));
            }
            catch (CommandException e)
            {
                _events.Writer.TryWrite(e);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            // The daemon is away, and nothing tells when the next one listens: the pace of trying.
            await Task.Delay(s_retry, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private void ReadKeys()
    {
        try
        {
            while (true)
                _events.Writer.TryWrite(Console.ReadKey(intercept: true));
        }
        catch (InvalidOperationException)
        {
            // Standard input is no terminal any more: signals are left.
        }
    }
}
