using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using UffdManager.Linux;

namespace UffdManager.Daemon.Images;

/// <summary>An image and those that it is a diff upon, the base first: what they are together, and whether they belong together.</summary>
internal static class ImageChain
{
    /// <summary>By what the contents of all files together are known again; the same text means the same contents.</summary>
    public static string IdentityOf(IEnumerable<ImageDefinition> layers)
    {
        StringBuilder text = new();
        foreach (ImageDefinition layer in layers)
            text.Append(CultureInfo.InvariantCulture, $"{layer.Inode}:{layer.Bytes}:{layer.ModifiedNanoseconds}:{layer.HeaderSha256}:{layer.PageBytes};");
        return $"{ImageName.Prefix}{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())).AsSpan(0, 16))}";
    }

    /// <summary>Why an image cannot be served from, as far as its definitions tell; null when they belong together.</summary>
    /// <remarks>
    /// A name says nothing of contents: who lost <c>base.json</c> and adds the base again from today's file would give the clones of every diff pages of two
    /// different memories. So a diff names the contents that it was made upon.
    /// </remarks>
    public static ImageException? ProblemOf(IReadOnlyList<ImageDefinition> layers)
    {
        if (layers[0].Base is { } missing)
            return new ImageException(ImageFault.Conflict, $"image {layers[0].Name} is a diff upon image {missing}, which is not there", $"add {missing} again", Errno.ENOENT);
        for (int i = 1; i < layers.Count; i++)
        {
            if (layers[i].BaseIdentity is null)
            {
                return new ImageException(
                    ImageFault.Conflict,
                    $"image {layers[i].Name} was added by an earlier build, which did not note the contents that it is a diff upon",
                    $"'uffdctl image remove {layers[i].Name}', and add it again if it really is a diff upon {layers[i - 1].Path}",
                    Errno.ESTALE);
            }

            if (layers[i].BaseIdentity != IdentityOf(layers.Take(i)))
            {
                return new ImageException(
                    ImageFault.Conflict,
                    $"image {layers[i].Name} was added as a diff upon other contents than those that image {layers[i - 1].Name} has now",
                    $"'uffdctl image remove {layers[i].Name}', and add it again if it really is a diff upon {layers[i - 1].Path}",
                    Errno.ESTALE);
            }
        }

        return null;
    }
}
