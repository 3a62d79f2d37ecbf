using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <summary>
/// A session of this process with the manager. Registered ranges are served for as long as the process lives, whatever becomes of this object. Any
/// thread may call it; requests are carried out in the order in which they are made.
/// </summary>
/// <remarks>
/// A managed thread that waits for a page between two safe points of its code holds up the garbage collector, and with it every other managed
/// thread, until the page is there. The thread that connects again after a restart of the manager is one of them, so a manager that does
/// not keep sessions for its successor (systemd and uffd-supervise do) and is restarted at that moment leaves the process standing still. Before
/// touching memory that may take long, <see cref="PrefetchAsync"/> it, or <see cref="ManagedRegion.Populate"/> it, which waits in a system call
/// and holds up nobody else.
/// </remarks>
public sealed partial class UffdManagerClient : IAsyncDisposable
{
    private static readonly TimeSpan s_byePatience = TimeSpan.FromSeconds(5);

    private readonly string _path;
    private readonly ClientOptions _options;
    private readonly SafeUffd _uffd;
    private readonly RegistrationList _registrations = new();
    private readonly CancellationTokenSource _disposing = new();
    private readonly Task _supervisor;
    private Link _link;
    private WelcomeMessage _welcome;
    private bool _disposed;
    private bool _over;

    private UffdManagerClient(string path, ClientOptions options, SafeUffd uffd, ClientConnection connection, WelcomeMessage welcome)
    {
        _path = path;
        _options = options;
        _uffd = uffd;
        _link = new Link(connection);
        _welcome = welcome;
        _supervisor = SuperviseAsync();
    }

    /// <summary>Raised after a lost connection has been replaced. Handlers run on the thread pool and are not waited for.</summary>
    public event EventHandler<ReconnectedEventArgs>? Reconnected;

    /// <summary>
    /// Raised when a manager refuses to go on with the session: a source that it cannot open, a policy that it does not have. The client tries again
    /// and again, and faults wait meanwhile; but a manager that has taken the session and was not told all of its ranges for
    /// engine.adoptionTimeout (30 seconds) kills this process, because the missing pages can neither be had nor be zeros. Handlers run on the
    /// thread pool and are not waited for.
    /// </summary>
    public event EventHandler<ReconnectRefusedEventArgs>? ReconnectRefused;

    /// <summary>Number of the session; another one after a restart of the manager.</summary>
    public ulong SessionId => Volatile.Read(ref _welcome).SessionId;

    /// <summary>The tenant that this process is taken for.</summary>
    public string Tenant => Volatile.Read(ref _welcome).Tenant;

    /// <summary>The session's default policy.</summary>
    public string Policy => Volatile.Read(ref _welcome).Policy;

    /// <summary>Features that are enabled on the userfaultfd.</summary>
    public UffdFeatures Features => (UffdFeatures)Volatile.Read(ref _welcome).FeaturesEnabled;

    /// <summary>Features of the kernel.</summary>
    public UffdFeatures AvailableFeatures => (UffdFeatures)Volatile.Read(ref _welcome).FeaturesAvailable;

    /// <summary>Makes a userfaultfd of this process and hands it to the manager.</summary>
    /// <param name="socketPath">The manager's socket; <see cref="ClientOptions.DefaultSocketPath"/> unless configured otherwise.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="UffdManagerException">The manager cannot be reached or refuses.</exception>
    /// <exception cref="SyscallException">The kernel refuses.</exception>
    public static async Task<UffdManagerClient> ConnectAsync(
        string socketPath, ClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= new ClientOptions();
        ClientConnection connection = await ClientConnection.OpenAsync(socketPath, cancellationToken).ConfigureAwait(false);
        SafeUffd? uffd = options.Userfaultfd;
        try
        {
            uffd ??= await MakeFromDeviceAsync(connection, options, cancellationToken).ConfigureAwait(false);
            bool greeted = options.Userfaultfd is null;
            HelloFlags flags = HelloFlags.HasUffd | HelloFlags.KeepsDescriptor;
            Message request = greeted
                ? new AttachMessage(flags, (ulong)options.Features)
                : Hello(options, flags, token: 0);
            Answer answer = await connection.AskAsync(request, uffd, cancellationToken).ConfigureAwait(false);
            return new UffdManagerClient(socketPath, options, uffd, connection, answer.As<WelcomeMessage>());
        }
        catch
        {
            connection.Dispose();
            uffd?.Dispose();
            throw;
        }
    }

    /// <summary>Asks for the numbers of the tenant that this process is taken for, without a session.</summary>
    /// <exception cref="UffdManagerException">The manager cannot be reached or refuses.</exception>
    public static async Task<StatusReplyMessage> QueryTenantAsync(string socketPath, CancellationToken cancellationToken = default)
    {
        using ClientConnection connection = await ClientConnection.OpenAsync(socketPath, cancellationToken).ConfigureAwait(false);
        Message hello = Hello(new ClientOptions(), HelloFlags.NoSession, token: 0);
        (await connection.AskAsync(hello, null, cancellationToken).ConfigureAwait(false)).As<WelcomeMessage>();
        return (await connection.AskAsync(new StatusMessage(), null, cancellationToken).ConfigureAwait(false)).As<StatusReplyMessage>();
    }

    /// <summary>
    /// Ends the session in order: the manager unregisters every range and closes its descriptor. Refused with EBUSY while pages are missing
    /// that only their source has; the session then goes on.
    /// </summary>
    /// <exception cref="UffdManagerException">Refused.</exception>
    public async Task ByeAsync(CancellationToken cancellationToken = default)
    {
        (await RequestAsync(new ByeMessage(), null, cancellationToken).ConfigureAwait(false)).As<DoneMessage>();
        Volatile.Write(ref _over, true);
        await _supervisor.ConfigureAwait(false);
        _uffd.Dispose();
    }

    /// <summary>
    /// Takes leave of the manager. Where ranges still need it, or it cannot be reached, the userfaultfd stays open for the life of the process:
    /// closing it would make their missing pages read as zeros.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, true))
            return;
        if (!Volatile.Read(ref _over))
        {
            try
            {
                using var patience = new CancellationTokenSource(s_byePatience);
                await ByeAsync(patience.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is UffdManagerException or OperationCanceledException)
            {
                _uffd.Disown();
            }
        }

        // In this order: the supervisor puts a new link up first and then looks whether it is to end, so that one of the two closes it.
        await _disposing.CancelAsync().ConfigureAwait(false);
        Interlocked.MemoryBarrier();
        Volatile.Read(ref _link).Connection.Dispose();
        await _supervisor.ConfigureAwait(false);
        _disposing.Dispose();
    }

    /// <summary>Closes the connection under the session's feet, as a network of sockets never does; for tests.</summary>
    internal void LoseConnection() => Volatile.Read(ref _link).Connection.Dispose();

    private static HelloMessage Hello(ClientOptions options, HelloFlags flags, ulong token) => new(
        ProtocolLimits.Version,
        ProtocolLimits.Version,
        flags,
        (ulong)options.Features,
        token,
        ProtocolLimits.Clip(options.Label, ProtocolLimits.MaxLabel),
        options.Policy);

    private static async Task<SafeUffd> MakeFromDeviceAsync(ClientConnection connection, ClientOptions options, CancellationToken cancellationToken)
    {
        Message hello = Hello(options, HelloFlags.WantDevice | HelloFlags.KeepsDescriptor, token: 0);
        using Answer answer = await connection.AskAsync(hello, null, cancellationToken).ConfigureAwait(false);
        _ = answer.As<WelcomeMessage>();
        SafeFile device = answer.Descriptor ?? throw new UffdManagerException(Errno.EPROTO, "the manager did not send the device");
        return Userfaultfd.OpenFromDevice(device);
    }
}
