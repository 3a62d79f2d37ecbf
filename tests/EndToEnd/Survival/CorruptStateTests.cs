using System.Globalization;
using UffdManager.EndToEnd.Tests.Shim;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>
/// What one manager has left is damaged before the next one gets it: the session that it belongs to fails closed, and nobody else's.
/// </summary>
[Collection(SurvivalCollection.Name)]
public sealed class CorruptStateTests(SurvivalSource source)
{
    [SkippableTheory]
    [InlineData("noise", "noise {0} 0 0")]
    [InlineData("noise in the first words", "noise {0} 0 64")]
    [InlineData("noise in the first page", "noise {0} 64 4032")]
    [InlineData("a truncated state", "cut {0} 4096")]
    [InlineData("an empty state", "cut {0} 0")]
    [InlineData("no state", "drop {0} memfd")]
    [InlineData("no userfaultfd", "drop {0} uffd")]
    [InlineData("a second state", "add {0} memfd")]
    [InlineData("a second userfaultfd", "add {0} uffd")]
    [InlineData("something else", "add {0} null")]
    public async Task Only_the_session_is_killed_that_comes_back_with(string damage, string plan)
    {
        Assert.NotEmpty(damage);
        await using Damaged it = await Damaged.StartAsync(source);
        await it.KillWithPlanAsync(string.Format(CultureInfo.InvariantCulture, plan, it.VictimName));
        await it.AssertVictimWasKilledAsync();
        await it.AssertOthersAreWellAsync(it.Others);
    }

    [SkippableFact]
    public async Task A_session_without_its_process_descriptor_is_killed_or_served_but_never_forgotten()
    {
        await using Damaged it = await Damaged.StartAsync(source);
        await it.KillWithPlanAsync($"drop {it.VictimName} pidfd");
        await it.AssertVictimWasKilledOrServedAsync();
        await it.AssertOthersAreWellAsync(it.Others);
    }

    [SkippableFact]
    public async Task Nobody_else_is_killed_when_a_session_comes_back_with_the_descriptor_of_another_process()
    {
        await using Damaged it = await Damaged.StartAsync(source);
        using RunningProgram bystander = RunningProgram.Start("cat", []);
        await it.KillWithPlanAsync($"add {it.VictimName} pidfd:{bystander.Pid}");
        await it.AssertVictimWasKilledAsync();
        Assert.False(bystander.HasExited);
        await it.AssertOthersAreWellAsync(it.Others);
    }

    [SkippableFact]
    public async Task Sessions_whose_descriptors_are_exchanged_are_killed_and_no_others()
    {
        await using Damaged it = await Damaged.StartAsync(source);
        LoadClient exchanged = it.Others[0];
        await it.KillWithPlanAsync($"rename {it.VictimName} {Damaged.NameOf(exchanged)}");
        await it.AssertVictimWasKilledAsync();
        Assert.Equal(137, await exchanged.AwaitEndAsync());
        await it.AssertOthersAreWellAsync(it.Others.Skip(1));
    }

    [SkippableFact]
    public async Task Descriptors_of_a_session_that_nobody_knows_are_closed()
    {
        await using Damaged it = await Damaged.StartAsync(source);
        await it.KillWithPlanAsync("add session-999 memfd\nadd session-999 null\nadd nonsense null");
        await it.AssertOthersAreWellAsync([.. it.Others, it.Victim]);
    }

    [SkippableFact]
    public async Task A_session_is_killed_whose_state_is_of_a_version_that_the_manager_does_not_know()
    {
        await using Damaged it = await Damaged.StartAsync(source);

        // Behind the mark, which is 8 bytes.
        await it.KillWithPlanAsync($"noise {it.VictimName} 8 4");
        await it.AssertVictimWasKilledAsync();
        await it.AssertOthersAreWellAsync(it.Others);
    }

    [SkippableFact]
    public async Task A_source_that_does_not_come_back_is_never_replaced_by_zeros()
    {
        await using Damaged it = await Damaged.StartAsync(source);
        await it.KillWithPlanAsync("drop source-* any");

        // Whose source it was is told so, or killed; whoever goes on finds every byte right.
        foreach (LoadClient client in (LoadClient[])[.. it.Others, it.Victim])
        {
            await Task.WhenAny(client.AwaitEndAsync(), client.AwaitProgressAsync());
            Assert.DoesNotContain("wrong byte", client.Output, StringComparison.Ordinal);
        }
    }
}
