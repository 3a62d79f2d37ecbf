using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;

namespace UffdManager.Cli.Control;

/// <summary>Lists that the manager hands out in pages, put together again.</summary>
internal static class Pages
{
    /// <summary>Asks until there is no next page.</summary>
    /// <param name="client">The manager.</param>
    /// <param name="query">The list and its filters.</param>
    /// <param name="list">Name of the array in a page; the pages' arrays become one document with this one array.</param>
    /// <param name="type">Of a page.</param>
    /// <param name="next">Where the page after a page begins; null after the last.</param>
    /// <param name="cancel">Ends it.</param>
    public static async Task<(IReadOnlyList<T> Pages, ReadOnlyMemory<byte> Document)> ReadAsync<T>(
        ControlClient client, Query query, string list, JsonTypeInfo<T> type, Func<T, string?> next, CancellationToken cancel)
        where T : class
    {
        List<T> pages = [];
        List<ReadOnlyMemory<byte>> documents = [];
        string? after = null;
        do
        {
            Answer<T> answer = await client.GetAsync(query.With("limit", "1000").With("after", after).ToString(), type, cancel);
            pages.Add(answer.Value);
            documents.Add(answer.Document);
            string? following = next(answer.Value);
            // A list that leads back to itself would never end.
            if (following is not null && following == after)
                throw ControlFailure.NotUnderstood($"the page after '{after}' is said to be itself");
            after = following;
        }
        while (after is not null);

        return (pages, documents.Count == 1 ? documents[0] : Merge(documents, list));
    }

    private static ReadOnlyMemory<byte> Merge(List<ReadOnlyMemory<byte>> documents, string list)
    {
        JsonArray all = [];
        foreach (ReadOnlyMemory<byte> document in documents)
        {
            foreach (JsonNode? item in JsonNode.Parse(document.Span)![list]!.AsArray())
                all.Add(item?.DeepClone());
        }

        return Encoding.UTF8.GetBytes(new JsonObject { [list] = all, ["next"] = null }.ToJsonString());
    }
}
