using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Model;

/// <summary>Orders snapshots and lists of changed pages of one client, at random, and has the client compare them with what it knows.</summary>
public sealed partial class ModelOperator(ModelClient client, ModelControl control, ModelOutages outages, string directory, Random random)
{
    private string? _full;
    private int _number;
    private bool _tracks;
    private bool _hasAll;
    private int _listedAt;

    /// <summary>What has been compared, for the report.</summary>
    public ConcurrentDictionary<string, int> Done { get; } = [];

    /// <summary>Whether the client has compared an image of each kind, and a list.</summary>
    public bool HasDoneAll => Missing is null;

    // What is still to be done of that, as RunAsync counts. Few snapshots of clients that move and give up memory come to their end.
    private int? Missing => !Has("snapshots") ? 0
        : !Has("diffs") ? 4
        : !Has("wild") ? 7
        : !Has("lists") && !Has("exact lists") ? (_tracks ? 13 : 11)
        : null;

    private string Path => $"v1/sessions/{client.Session}";

    /// <summary>Goes on until it is told to end.</summary>
    public async Task RunAsync(CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            int what = random.Next(20);
            switch (random.Next(2) == 0 ? Missing ?? what : what)
            {
                case < 4:
                    await SnapshotAsync(calm: true, isDiff: false);
                    break;
                case < 7:
                    await SnapshotAsync(calm: true, isDiff: true);
                    break;
                case < 11:
                    await SnapshotAsync(calm: false, isDiff: false);
                    Count("wild");
                    break;
                case < 13:
                    await SwitchTrackingAsync();
                    break;
                default:
                    await ListAsync();
                    break;
            }

            await Task.Delay(random.Next(0, 150), CancellationToken.None); // lint: allowed, what clients do in between is what is random here
        }
    }

    private void Count(string what) => Done.AddOrUpdate(what, 1, (_, count) => count + 1);

    private bool Has(string what) => Done.ContainsKey(what);

    private async Task SnapshotAsync(bool calm, bool isDiff)
    {
        string image = System.IO.Path.Combine(directory, $"{client.Session}-{_number++}");
        string? below = isDiff ? _full : null;
        long buffer = random.Next(1, 5) << 20;
        await client.AskAsync(calm ? "may" : "may move remove");
        await client.AskAsync("record");
        int before = outages.Begun;
        bool isSealed = false;
        string on = below is null ? "" : $", \"base\": \"{below}\"";
        ModelAnswer? answer = null;
        await RetryAsync(async () => answer = await control.StreamAsync($"{Path}/snapshot", $$"""{ "out": "{{image}}", "bufferBytes": {{buffer}}{{on}} }""", SealAsync));

        async Task SealAsync(JsonElement progress)
        {
            if (!isSealed && progress.GetProperty("takenAt").ValueKind != JsonValueKind.Null)
            {
                await client.AskAsync("seal");
                isSealed = true;
            }
        }

        string result = answer is null ? "lost" : !answer.IsSuccess ? "refused" : answer.Json.GetProperty("result").GetString()!;
        if (result == "written" || (result == "lost" && File.Exists(image)))
        {
            if (!isSealed)
                await client.AskAsync("seal");
            await CompareAsync(image, below);
            Count(isDiff ? "diffs" : calm ? "snapshots" : "wild snapshots");
            if (calm && below is null)
                _full = image;
        }
        else
        {
            bool isExcused = outages.MayHaveLost(before) || (!calm && answer is not null && ClientsDoing().IsMatch(answer.Text));
            Assert.True(isExcused, $"the {(calm ? "calm" : "wild")} snapshot of session {client.Session} is {result}: {answer?.Text}");
            Assert.False(File.Exists(image), $"{image} is there although its snapshot is {result}: {answer?.Text}");
            await client.AskAsync("drop");
            Count($"{(calm ? "" : "wild ")}{result}{(answer is { IsSuccess: false } ? Reason(answer) : "")}");
        }

        await client.AskAsync("may move remove");
    }

    private static string Reason(ModelAnswer answer) => $" ({answer.Json.GetProperty("detail").GetString()})";

    private async Task CompareAsync(string image, string? below)
    {
        JsonElement description = JsonDocument.Parse(await File.ReadAllTextAsync($"{image}.json")).RootElement;
        await client.TellAsync(below is null ? $"image {image}" : $"image {image} {below}");
        foreach (JsonElement region in description.GetProperty("regions").EnumerateArray())
        {
            await client.TellAsync(string.Create(
                CultureInfo.InvariantCulture,
                $"region {region.GetProperty("start").GetString()} {region.GetProperty("length").GetInt64()} {region.GetProperty("fileOffset").GetInt64()}"));
        }

        await client.AskAsync("compare");
    }

    private async Task SwitchTrackingAsync()
    {
        int before = outages.Begun;
        ModelAnswer? answer = null;
        await RetryAsync(async () => answer = await control.AskAsync(_tracks ? HttpMethod.Delete : HttpMethod.Post, $"{Path}/tracking"));
        if (answer is { IsSuccess: true })
        {
            _tracks = !_tracks;
            if (_tracks)
                await client.AskAsync("track");
            _hasAll = false;
            return;
        }

        Assert.True(outages.MayHaveLost(before), $"tracking of session {client.Session} (tracked: {_tracks}): {answer}");
        await LookUpAsync();
    }

    // An answer was lost: what it would have told is found out, and begun anew.
    private async Task LookUpAsync()
    {
        ModelAnswer? answer = null;
        await RetryAsync(async () => answer = await control.AskAsync(HttpMethod.Get, $"{Path}/tracking"), evenIfLost: true);
        _tracks = answer!.IsSuccess;
        Assert.True(_tracks || answer.Status == HttpStatusCode.Conflict, answer.ToString());
        await client.AskAsync("track");
        _hasAll = false;
    }

    private async Task ListAsync()
    {
        if (!_tracks)
            return;
        await client.AskAsync("may remove");
        await client.AskAsync("list");
        int before = outages.Begun;
        List<string>? runs = await TakeListAsync(before);
        if (runs is not null)
        {
            foreach (string run in runs)
                await client.TellAsync($"changed {run}");
            string answer = await client.AskAsync("listed");
            bool isExact = _hasAll && !outages.MayHaveLost(before) && outages.Begun == _listedAt;
            int named = Number(answer, "named");
            int idle = Number(answer, "idle");

            // A fault may be told twice, and its second message be read behind a list: a write too many is noted then, for few of the pages that were written.
            Assert.True(!isExact || idle <= 2 + (named / 50), $"the list of session {client.Session} names pages that nothing has changed: {answer}\n{client}");
            Count(isExact ? "exact lists" : "lists");
            _listedAt = before;
            _hasAll = !outages.MayHaveLost(before);
        }
        else
        {
            Assert.True(outages.MayHaveLost(before), $"the list of session {client.Session} is lost");
            await client.AskAsync("unlist");
            await LookUpAsync();
        }

        await client.AskAsync("may move remove");
    }

    private static int Number(string answer, string name) =>
        int.Parse(answer.Split(' ').First(word => word.StartsWith(name, StringComparison.Ordinal)).Split('=')[1], CultureInfo.InvariantCulture);

    private async Task<List<string>?> TakeListAsync(int before)
    {
        List<string> runs = [];
        string? after = null;
        do
        {
            ModelAnswer? answer = null;
            string limit = random.Next(2) == 0 ? "limit=10000" : $"limit={random.Next(1, 50)}";
            string path = $"{Path}/tracking/pages?{limit}{(after is null ? "" : $"&after={after}")}";
            await RetryAsync(async () => answer = await control.AskAsync(HttpMethod.Post, path));
            if (answer is not { IsSuccess: true })
            {
                Assert.True(outages.MayHaveLost(before), $"the list of session {client.Session}: {answer}");
                return null;
            }

            foreach (JsonElement run in answer.Json.GetProperty("runs").EnumerateArray())
                runs.Add($"{run.GetProperty("start").GetString()} {run.GetProperty("length").GetInt64()}");
            after = answer.Json.GetProperty("next").GetString();
        }
        while (after is not null);
        return runs;
    }

    // What was begun before may not have come to its end, a successor may be at work still, and who has given its sessions away says that it stops.
    private static async Task RetryAsync(Func<Task<ModelAnswer?>> ask, bool evenIfLost = false)
    {
        using CancellationTokenSource patience = new(TimeSpan.FromSeconds(100));
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(5));
        ModelAnswer? answer;
        while ((answer = await ask()) is { Status: HttpStatusCode.Conflict or HttpStatusCode.ServiceUnavailable } or null)
        {
            if (answer is null ? !evenIfLost : answer.Status == HttpStatusCode.Conflict && !Busy().IsMatch(answer.Text))
                return;
            await timer.WaitForNextTickAsync(patience.Token);
        }
    }

    [GeneratedRegex("the client .* before it was saved|keeps changing", RegexOptions.None, 1000)]
    private static partial Regex ClientsDoing();

    [GeneratedRegex("somebody else|busy|being", RegexOptions.None, 1000)]
    private static partial Regex Busy();
}
