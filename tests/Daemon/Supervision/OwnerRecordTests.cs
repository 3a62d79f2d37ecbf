using FsCheck;
using FsCheck.Fluent;
using UffdManager.Daemon.Supervision;
using UffdManager.Engine;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

public sealed class OwnerRecordTests
{
    private static readonly OwnerRecord s_record = new()
    {
        ResumeToken = 0xfedc_ba98_7654_3210,
        SessionId = 42,
        SourceOffset = 1L << 40,
        RemoveMeansSource = true,
        SourceIdentity = "fe01:1234",
        Images = [1, 2, 500, 1L << 40],
    };

    [Fact]
    public void Record_comes_back_as_it_was_written()
    {
        OwnerRecord read = OwnerRecord.TryDecode(s_record.Encode())!;
        Assert.Equal(s_record with { Images = [] }, read with { Images = [] });
        Assert.Equal(s_record.Images, read.Images);
    }

    [Fact]
    public void Record_tells_by_which_connection_a_session_of_a_snapshot_came()
    {
        OwnerRecord read = OwnerRecord.TryDecode(new OwnerRecord { Snapshot = "web", SnapshotPeer = 1L << 33 }.Encode())!;
        Assert.Equal(("web", 1L << 33), (read.Snapshot, read.SnapshotPeer));
        Assert.Equal(0, OwnerRecord.TryDecode(new OwnerRecord { Snapshot = "web" }.Encode())!.SnapshotPeer);
    }

    [Fact]
    public void Fields_of_a_later_manager_are_skipped_and_missing_ones_have_their_default()
    {
        byte[] bytes = [.. s_record.Encode()!, 200, 3, 1, 2, 3];
        Assert.Equal(s_record.ResumeToken, OwnerRecord.TryDecode(bytes)!.ResumeToken);
        OwnerRecord empty = OwnerRecord.TryDecode([1])!;
        Assert.Equal((0ul, ""), (empty.ResumeToken, empty.SourceIdentity));
    }

    [Fact]
    public void Another_version_an_empty_record_and_every_cut_are_refused()
    {
        byte[] bytes = s_record.Encode()!;
        Assert.Null(OwnerRecord.TryDecode([]));
        Assert.Null(OwnerRecord.TryDecode([2, .. bytes[1..]]));

        // A cut between two fields is a record with fewer fields; no other may pass.
        int passed = Enumerable.Range(1, bytes.Length - 1).Count(length => OwnerRecord.TryDecode(bytes.AsSpan(0, length)) is not null);
        Assert.Equal(6, passed);
    }

    [Fact]
    public void Arbitrary_bytes_are_a_record_or_none_and_nothing_else() => Prop.ForAll(
        ArbMap.Default.ArbFor<byte[]>(),
        bytes =>
        {
            _ = OwnerRecord.TryDecode(bytes);
            _ = OwnerRecord.TryDecode([1, .. bytes]);
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Record_is_never_longer_than_the_engine_takes()
    {
        long[] near = [.. Enumerable.Range(1, 1500).Select(i => (long)i)];
        Assert.InRange((s_record with { Images = near }).Encode()!.Length, 1500, AttachRequest.MaximumOwnerRecord);
        long[] far = [.. Enumerable.Range(1, 1500).Select(i => (long)i << 30)];
        Assert.Null((s_record with { Images = far }).Encode());
    }

    [Theory]
    [InlineData(7, 0, 0, true)]
    [InlineData(7, 3, 7, true)]
    [InlineData(7, 3, 3, false)]
    [InlineData(7, 3, 0, false)]
    public void Copy_that_a_child_has_of_its_parents_record_is_not_its_own(long id, long parent, long recorded, bool isOwn) =>
        Assert.Equal(isOwn, (s_record with { SessionId = recorded }).IsOf(id, parent));

    [Fact]
    public void Tag_keeps_its_fields_whatever_is_in_them()
    {
        string[] fields = ["a b", "", "ü/%20\t\n", "1"];
        string tag = OwnerTag.Write(fields);
        Assert.Equal(fields, OwnerTag.TryRead(tag, fields.Length));
        Assert.Equal(fields, OwnerTag.TryRead(tag + " later", fields.Length)![..fields.Length]);
        Assert.Null(OwnerTag.TryRead(tag, fields.Length + 1));
        Assert.Null(OwnerTag.TryRead("2 a b c d", 4));
        Assert.Null(OwnerTag.TryRead("", 0));
    }
}
