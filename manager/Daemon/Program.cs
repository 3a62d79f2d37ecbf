using UffdManager.Daemon.Cli;
using UffdManager.Daemon.Supervision;

// First of all: until then the descriptors that came in have no owner.
InheritedDescriptors inherited = InheritedDescriptors.Adopt();
return await CommandLine.InvokeAsync(args, inherited);
