// One test at a time: many count the descriptors of the process or change the machine's pool of huge pages.
[assembly: Xunit.CollectionBehavior(DisableTestParallelization = true)]
