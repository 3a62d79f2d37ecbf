using UffdManager.Engine.State;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>Who descends from whom.</summary>
public sealed class ProcessFamiliesTests
{
    [Fact]
    public void Descendants_are_found_over_generations_and_parents_come_first()
    {
        using ClientProcess client = ClientProcess.Start();
        client.Run("fork");
        using ClientProcess child = client.AcceptChild();
        client.Run("fork");
        using ClientProcess sibling = client.AcceptChild();
        child.Run("fork");
        using ClientProcess grandchild = child.AcceptChild();
        ProcessFamilies families = ProcessFamilies.Look();
        IReadOnlyList<int> found = families.DescendantsOf(client.Pid);
        Assert.Equal(new[] { child.Pid, sibling.Pid, grandchild.Pid }.Order(), found.Order());
        Assert.Equal(grandchild.Pid, found[^1]);
        Assert.Equal([grandchild.Pid], families.DescendantsOf(child.Pid));
        Assert.Empty(families.DescendantsOf(grandchild.Pid));
        Assert.Contains(client.Pid, families.DescendantsOf(Environment.ProcessId));
    }
}
