// One test at a time: each counts the descriptors of the process, and some change the machine's pool of huge pages.
[assembly: Xunit.CollectionBehavior(DisableTestParallelization = true)]
