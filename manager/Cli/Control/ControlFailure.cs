using System.Net;
using System.Net.Sockets;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Control;

/// <summary>What can go wrong between this program and the manager, with exit code and remedy.</summary>
internal static class ControlFailure
{
    private const string ProblemPrefix = "urn:uffd-manager:problem:";
    private const string OtherSocket = $"Another socket is named by --socket or ${GlobalOptions.SocketVariable}.";

    /// <summary>The address of a socket.</summary>
    /// <exception cref="CommandException">The path cannot be one.</exception>
    public static UnixDomainSocketEndPoint EndPoint(string path)
    {
        try
        {
            return new UnixDomainSocketEndPoint(path);
        }
        catch (ArgumentException)
        {
            throw new CommandException(ExitCode.Usage, $"'{path}' cannot be the path of a socket: it must have 1 to 107 bytes");
        }
    }

    public static CommandException NoAnswer(string socket, TimeSpan limit) => new(
        ExitCode.TemporaryFailure,
        $"the manager at {socket} did not answer within {Units.Time(limit.TotalMilliseconds * 1e6)}",
        "It may be overloaded, stopped or stuck: try again with a longer --request-timeout, and look at its log.");

    public static CommandException OtherVersion(string socket, string? version, string wanted) => version is null
        ? new(ExitCode.Protocol, $"what answers at {socket} is not a manager", OtherSocket)
        : new(ExitCode.Protocol, $"the manager at {socket} speaks version {Text.Clean(version)} of the control API, this program version {wanted}",
            "Use the uffdctl that was installed with it.");

    public static CommandException NotUnderstood(string what) => new(
        ExitCode.Protocol, $"the answer of the manager cannot be understood: {Text.Clean(what)}", "Use the uffdctl that was installed with it.");

    /// <summary>The manager refused.</summary>
    public static CommandException Of(ProblemDto problem)
    {
        string type = problem.Type.StartsWith(ProblemPrefix, StringComparison.Ordinal) ? problem.Type[ProblemPrefix.Length..] : problem.Type;
        int code = type switch
        {
            "bad_request" => ExitCode.Usage,
            "forbidden" => ExitCode.Permission,
            "not_found" => ExitCode.NotFound,
            "conflict" or "busy" or "unavailable" => ExitCode.TemporaryFailure,
            "configuration_invalid" => ExitCode.Configuration,
            "kernel" => ExitCode.OperatingSystem,
            "internal" => ExitCode.Software,
            // Types that a newer manager has; its status tells the family.
            _ => problem.Status switch
            {
                403 => ExitCode.Permission,
                404 => ExitCode.NotFound,
                >= 500 => ExitCode.Software,
                _ => ExitCode.Protocol,
            },
        };
        string message = Text.Clean(problem.Detail).TrimEnd('.');
        foreach (ConfigurationProblemDto error in problem.Errors ?? [])
            message += $"\n{Describe(error)}";
        return new CommandException(code, message, Sentence(Text.Clean(problem.Remedy))) { Problem = type };
    }

    public static string Describe(ConfigurationProblemDto error) =>
        Text.Clean($"{error.Key}: {error.Problem}{(error.Origin is null ? "" : $" (from {error.Origin})")}");

    private static string Sentence(string text) =>
        text.Length == 0 ? text : $"{char.ToUpperInvariant(text[0])}{text[1..]}{(text[^1] is '.' or '?' or '!' ? "" : ".")}";

    /// <summary>The connection failed, at its beginning or in the middle.</summary>
    public static CommandException Of(Exception failure, string socket)
    {
        for (Exception? cause = failure; cause is not null; cause = cause.InnerException)
        {
            switch (cause)
            {
                case CommandException known:
                    return known;
                case SocketException error:
                    return Of(error.SocketErrorCode, error.Message, socket);
                case HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse }:
                case HttpIOException { HttpRequestError: HttpRequestError.InvalidResponse }:
                    return new(ExitCode.Protocol, $"what answers at {socket} does not speak HTTP", OtherSocket);
            }
        }

        return new(ExitCode.Unavailable, $"the manager at {socket} closed the connection in the middle of its answer",
            "It may have been restarted; try again, and look at its log if it stays so.");
    }

    private static CommandException Of(SocketError error, string text, string socket) => error switch
    {
        SocketError.AddressNotAvailable when !File.Exists(socket) => new(ExitCode.Unavailable, $"there is no socket at {socket}", IsItRunning),
        SocketError.ConnectionRefused => new(ExitCode.Unavailable, $"nobody listens at {socket}", IsItRunning),
        SocketError.AccessDenied => new(ExitCode.Permission, $"no permission to connect to {socket}",
            "Become root, or a member of the group that owns the socket (control.group of the manager's configuration)."),
        SocketError.ConnectionReset or SocketError.Shutdown => new(ExitCode.Unavailable, $"the manager at {socket} closed the connection",
            "Too many connections may be open, or it was restarted; try again."),
        _ => new(ExitCode.Unavailable, $"{socket} cannot be reached: {text}", IsItRunning),
    };

    private static string IsItRunning => $"Is the manager running? systemctl status uffd-manager tells. {OtherSocket}";
}
