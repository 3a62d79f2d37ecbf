using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>
/// Who was forked by whom, of all processes of the machine, at the moment of one look. It reads a file for each of them, and all faults wait for a restore: so one look is for all of its sessions.
/// </summary>
internal sealed class ProcessFamilies
{
    private readonly Dictionary<int, List<int>> _children = [];

    private ProcessFamilies()
    {
    }

    /// <summary>Looks.</summary>
    public static ProcessFamilies Look()
    {
        ProcessFamilies families = new();
        foreach (int pid in ProcessInfo.AllPids())
        {
            if (ProcessInfo.TryReadParent(pid, out int parent))
            {
                if (!families._children.TryGetValue(parent, out List<int>? siblings))
                {
                    families._children[parent] = siblings = [];
                }

                siblings.Add(pid);
            }
        }

        return families;
    }

    /// <summary>Children, their children, and so on; parents before their children.</summary>
    public IReadOnlyList<int> DescendantsOf(int ancestor)
    {
        // Numbers are used again while we look: each is taken once, whatever they say of one another.
        HashSet<int> seen = [ancestor];
        List<int> found = [];
        for (int at = -1; at < found.Count; at++)
        {
            if (_children.TryGetValue(at < 0 ? ancestor : found[at], out List<int>? some))
            {
                found.AddRange(some.Where(seen.Add));
            }
        }

        return found;
    }
}
