using System.Reflection;
using System.Text;

namespace UffdManager.Protocol.Tests;

/// <summary>Messages with random but allowed fields, one for each seed; made from the constructors, so that none can be forgotten.</summary>
internal static class RandomMessage
{
    private static readonly Type[] s_types =
        [.. typeof(Message).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(Message))).OrderBy(type => type.Name, StringComparer.Ordinal)];

    public static int TypeCount => s_types.Length;

    public static Message Create(Random random)
    {
        Type type = s_types[random.Next(s_types.Length)];
        ConstructorInfo constructor = type.GetConstructors().OrderByDescending(candidate => candidate.GetParameters().Length).First();
        return (Message)constructor.Invoke([.. constructor.GetParameters().Select(parameter => Value(type, parameter, random))]);
    }

    private static object Value(Type message, ParameterInfo parameter, Random random)
    {
        if (parameter.ParameterType == typeof(string))
            return Text(LimitOf(parameter.Name!), random);
        if (parameter.ParameterType == typeof(bool))
            return random.Next(2) == 1;
        if (parameter.ParameterType.IsEnum)
            return Enum.ToObject(parameter.ParameterType, (uint)random.NextInt64() & Mask(message, parameter.ParameterType));
        ulong bits = random.Next(8) == 0 ? ulong.MaxValue : (ulong)random.NextInt64() >> random.Next(63);
        return Type.GetTypeCode(parameter.ParameterType) switch
        {
            TypeCode.UInt16 => (ushort)bits,
            TypeCode.UInt32 => (uint)bits,
            TypeCode.Int32 => (int)bits,
            TypeCode.UInt64 => bits,
            _ => throw new NotSupportedException($"{message.Name}.{parameter.Name}"),
        };
    }

    private static uint Mask(Type message, Type flags)
    {
        if (message == typeof(AttachMessage))
            return (uint)HelloFlags.Attach;
        if (message == typeof(MappedMessage))
            return (uint)MapFlags.Writable;
        return flags == typeof(ErrorFlags) ? (uint)ErrorFlags.Holder : Convert.ToUInt32(Enum.Parse(flags, "All"));
    }

    private static int LimitOf(string parameter) => parameter switch
    {
        "Text" => ProtocolLimits.MaxText,
        "Source" => ProtocolLimits.MaxSource,
        _ => 64,
    };

    private static string Text(int limit, Random random)
    {
        var text = new StringBuilder();
        int length = random.Next(4) == 0 ? limit : random.Next(limit + 1);
        while (length > 0)
        {
            Rune rune = random.Next(6) switch
            {
                0 => new Rune(random.Next(0x80, 0x800)),
                1 => new Rune(random.Next(0xE000, 0x10000)),
                2 => new Rune(random.Next(0x10000, 0x110000)),
                _ => new Rune(random.Next(1, 0x80)),
            };
            if (rune.Utf8SequenceLength > length)
                rune = new Rune('x');
            text.Append(rune);
            length -= rune.Utf8SequenceLength;
        }

        return text.ToString();
    }
}
