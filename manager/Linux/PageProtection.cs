namespace UffdManager.Linux;

/// <summary>PROT_ bits.</summary>
[Flags]
public enum PageProtection
{
    /// <summary>No access.</summary>
    None = 0,

    /// <summary>Reading.</summary>
    [CName("PROT_READ")] Read = 1,

    /// <summary>Writing.</summary>
    [CName("PROT_WRITE")] Write = 2,

    /// <summary>Executing.</summary>
    [CName("PROT_EXEC")] Execute = 4,
}
