namespace UffdManager.Engine.State;

/// <summary>State memory that is not what a manager left behind. Whose state it is cannot be served.</summary>
internal sealed class CorruptStateException(string message) : Exception(message);
