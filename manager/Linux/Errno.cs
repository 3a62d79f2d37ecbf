namespace UffdManager.Linux;

/// <summary>Error numbers of Linux with their C names (asm-generic/errno-base.h, errno.h); the same on x86-64 and arm64.</summary>
public enum Errno
{
    /// <summary>No error.</summary>
    OK = 0,

    /// <summary>Operation not permitted.</summary>
    [CName("EPERM")] EPERM = 1,

    /// <summary>No such file or directory.</summary>
    [CName("ENOENT")] ENOENT = 2,

    /// <summary>No such process.</summary>
    [CName("ESRCH")] ESRCH = 3,

    /// <summary>Interrupted system call.</summary>
    [CName("EINTR")] EINTR = 4,

    /// <summary>Input/output error.</summary>
    [CName("EIO")] EIO = 5,

    /// <summary>No such device or address.</summary>
    [CName("ENXIO")] ENXIO = 6,

    /// <summary>Argument list too long.</summary>
    [CName("E2BIG")] E2BIG = 7,

    /// <summary>Exec format error.</summary>
    [CName("ENOEXEC")] ENOEXEC = 8,

    /// <summary>Bad file descriptor.</summary>
    [CName("EBADF")] EBADF = 9,

    /// <summary>No child processes.</summary>
    [CName("ECHILD")] ECHILD = 10,

    /// <summary>Resource temporarily unavailable.</summary>
    [CName("EAGAIN")] EAGAIN = 11,

    /// <summary>Cannot allocate memory.</summary>
    [CName("ENOMEM")] ENOMEM = 12,

    /// <summary>Permission denied.</summary>
    [CName("EACCES")] EACCES = 13,

    /// <summary>Bad address.</summary>
    [CName("EFAULT")] EFAULT = 14,

    /// <summary>Block device required.</summary>
    [CName("ENOTBLK")] ENOTBLK = 15,

    /// <summary>Device or resource busy.</summary>
    [CName("EBUSY")] EBUSY = 16,

    /// <summary>File exists.</summary>
    [CName("EEXIST")] EEXIST = 17,

    /// <summary>Invalid cross-device link.</summary>
    [CName("EXDEV")] EXDEV = 18,

    /// <summary>No such device.</summary>
    [CName("ENODEV")] ENODEV = 19,

    /// <summary>Not a directory.</summary>
    [CName("ENOTDIR")] ENOTDIR = 20,

    /// <summary>Is a directory.</summary>
    [CName("EISDIR")] EISDIR = 21,

    /// <summary>Invalid argument.</summary>
    [CName("EINVAL")] EINVAL = 22,

    /// <summary>Too many open files in system.</summary>
    [CName("ENFILE")] ENFILE = 23,

    /// <summary>Too many open files.</summary>
    [CName("EMFILE")] EMFILE = 24,

    /// <summary>Inappropriate ioctl for device.</summary>
    [CName("ENOTTY")] ENOTTY = 25,

    /// <summary>Text file busy.</summary>
    [CName("ETXTBSY")] ETXTBSY = 26,

    /// <summary>File too large.</summary>
    [CName("EFBIG")] EFBIG = 27,

    /// <summary>No space left on device.</summary>
    [CName("ENOSPC")] ENOSPC = 28,

    /// <summary>Illegal seek.</summary>
    [CName("ESPIPE")] ESPIPE = 29,

    /// <summary>Read-only file system.</summary>
    [CName("EROFS")] EROFS = 30,

    /// <summary>Too many links.</summary>
    [CName("EMLINK")] EMLINK = 31,

    /// <summary>Broken pipe.</summary>
    [CName("EPIPE")] EPIPE = 32,

    /// <summary>Numerical argument out of domain.</summary>
    [CName("EDOM")] EDOM = 33,

    /// <summary>Numerical result out of range.</summary>
    [CName("ERANGE")] ERANGE = 34,

    /// <summary>Resource deadlock avoided.</summary>
    [CName("EDEADLK")] EDEADLK = 35,

    /// <summary>File name too long.</summary>
    [CName("ENAMETOOLONG")] ENAMETOOLONG = 36,

    /// <summary>No locks available.</summary>
    [CName("ENOLCK")] ENOLCK = 37,

    /// <summary>Function not implemented.</summary>
    [CName("ENOSYS")] ENOSYS = 38,

    /// <summary>Directory not empty.</summary>
    [CName("ENOTEMPTY")] ENOTEMPTY = 39,

    /// <summary>Too many levels of symbolic links.</summary>
    [CName("ELOOP")] ELOOP = 40,

    /// <summary>No data available.</summary>
    [CName("ENODATA")] ENODATA = 61,

    /// <summary>Timer expired.</summary>
    [CName("ETIME")] ETIME = 62,

    /// <summary>Protocol error.</summary>
    [CName("EPROTO")] EPROTO = 71,

    /// <summary>Bad message.</summary>
    [CName("EBADMSG")] EBADMSG = 74,

    /// <summary>Value too large for defined data type.</summary>
    [CName("EOVERFLOW")] EOVERFLOW = 75,

    /// <summary>Invalid or incomplete multibyte or wide character.</summary>
    [CName("EILSEQ")] EILSEQ = 84,

    /// <summary>Too many users.</summary>
    [CName("EUSERS")] EUSERS = 87,

    /// <summary>Socket operation on non-socket.</summary>
    [CName("ENOTSOCK")] ENOTSOCK = 88,

    /// <summary>Destination address required.</summary>
    [CName("EDESTADDRREQ")] EDESTADDRREQ = 89,

    /// <summary>Message too long.</summary>
    [CName("EMSGSIZE")] EMSGSIZE = 90,

    /// <summary>Protocol wrong type for socket.</summary>
    [CName("EPROTOTYPE")] EPROTOTYPE = 91,

    /// <summary>Protocol not available.</summary>
    [CName("ENOPROTOOPT")] ENOPROTOOPT = 92,

    /// <summary>Protocol not supported.</summary>
    [CName("EPROTONOSUPPORT")] EPROTONOSUPPORT = 93,

    /// <summary>Socket type not supported.</summary>
    [CName("ESOCKTNOSUPPORT")] ESOCKTNOSUPPORT = 94,

    /// <summary>Operation not supported.</summary>
    [CName("EOPNOTSUPP")] EOPNOTSUPP = 95,

    /// <summary>Address family not supported by protocol.</summary>
    [CName("EAFNOSUPPORT")] EAFNOSUPPORT = 97,

    /// <summary>Address already in use.</summary>
    [CName("EADDRINUSE")] EADDRINUSE = 98,

    /// <summary>Cannot assign requested address.</summary>
    [CName("EADDRNOTAVAIL")] EADDRNOTAVAIL = 99,

    /// <summary>Network is down.</summary>
    [CName("ENETDOWN")] ENETDOWN = 100,

    /// <summary>Network is unreachable.</summary>
    [CName("ENETUNREACH")] ENETUNREACH = 101,

    /// <summary>Software caused connection abort.</summary>
    [CName("ECONNABORTED")] ECONNABORTED = 103,

    /// <summary>Connection reset by peer.</summary>
    [CName("ECONNRESET")] ECONNRESET = 104,

    /// <summary>No buffer space available.</summary>
    [CName("ENOBUFS")] ENOBUFS = 105,

    /// <summary>Transport endpoint is already connected.</summary>
    [CName("EISCONN")] EISCONN = 106,

    /// <summary>Transport endpoint is not connected.</summary>
    [CName("ENOTCONN")] ENOTCONN = 107,

    /// <summary>Cannot send after transport endpoint shutdown.</summary>
    [CName("ESHUTDOWN")] ESHUTDOWN = 108,

    /// <summary>Too many references: cannot splice; more descriptors are on their way in messages than the user may have.</summary>
    [CName("ETOOMANYREFS")] ETOOMANYREFS = 109,

    /// <summary>Connection timed out.</summary>
    [CName("ETIMEDOUT")] ETIMEDOUT = 110,

    /// <summary>Connection refused.</summary>
    [CName("ECONNREFUSED")] ECONNREFUSED = 111,

    /// <summary>Host is down.</summary>
    [CName("EHOSTDOWN")] EHOSTDOWN = 112,

    /// <summary>No route to host.</summary>
    [CName("EHOSTUNREACH")] EHOSTUNREACH = 113,

    /// <summary>Operation already in progress.</summary>
    [CName("EALREADY")] EALREADY = 114,

    /// <summary>Operation now in progress.</summary>
    [CName("EINPROGRESS")] EINPROGRESS = 115,

    /// <summary>Stale file handle.</summary>
    [CName("ESTALE")] ESTALE = 116,

    /// <summary>Disk quota exceeded.</summary>
    [CName("EDQUOT")] EDQUOT = 122,

    /// <summary>Operation canceled.</summary>
    [CName("ECANCELED")] ECANCELED = 125,

    /// <summary>Owner died.</summary>
    [CName("EOWNERDEAD")] EOWNERDEAD = 130,

    /// <summary>State not recoverable.</summary>
    [CName("ENOTRECOVERABLE")] ENOTRECOVERABLE = 131,

    /// <summary>Memory page has hardware error.</summary>
    [CName("EHWPOISON")] EHWPOISON = 133,
}
