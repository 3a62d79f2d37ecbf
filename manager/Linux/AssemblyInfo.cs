using System.Runtime.CompilerServices;

// Every P/Invoke here is blittable; this turns an accidental marshalled signature into a compile-time error.
[assembly: DisableRuntimeMarshalling]
