using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;
using UffdManager.Engine.Policies;
using Xunit;

namespace UffdManager.Daemon.Tests.Configuration;

public sealed class ConfigurationLoaderTests
{
    [Fact]
    public void Every_section_reaches_its_options()
    {
        ManagerConfiguration configuration = Layers.LoadValid("""
            {
              "listen": { "socket": "/srv/m.sock", "mode": "0600", "group": "0", "backlog": 7, "maxConnections": 8, "firstMessageTimeout": "3s" },
              "metrics": { "enabled": false, "address": "::1", "port": 1234, "dashboard": false, "slowFault": "5ms" },
              "engine": { "faultLoops": 2, "fetchThreads": 3, "fetchConcurrencyPerTenant": 2, "pinLoops": true, "livenessSweep": "2s", "adoptionTimeout": "9s" },
              "logging": { "level": "debug", "format": "json" },
              "otlp": { "enabled": true, "endpoint": "https://collector:4318", "protocol": "http/protobuf", "interval": "5s", "metrics": false, "traces": false },
              "workingSets": { "directory": "/srv/traces", "besideImages": false },
              "shutdown": { "grace": "1s" },
              "images": { "directory": "/srv/images", "sourceDirectories": ["/srv/files"], "cacheBytes": "2GiB", "mapBytes": "3GiB" },
              "policies": {
                "image": {
                  "source": { "kind": "file", "path": "/srv/image", "offset": "8KiB" },
                  "faultAroundBytes": "64KiB", "onUnavailable": "poison", "deadline": "1s", "retryBackoff": "5ms", "busyPoll": "50us",
                  "prefetch": { "mode": "replayThenFull", "maxBytes": "7MiB", "maxTime": "8s", "maxPagesInFlight": 9, "recordTime": "10s" }, "removeMeans": "source"
                }
              },
              "tenants": {
                "blue": {
                  "match": { "uids": [1000, 1001], "gids": [50], "cgroups": ["/blue.slice"] },
                  "defaultPolicy": "image", "policies": ["image"], "sourceDirectories": ["/srv"], "images": ["clean"], "sourceDescriptors": false, "weight": 5,
                  "limits": {
                    "sessions": 1, "regions": 2, "registeredBytes": "3MiB", "pagesInFlight": 4, "faultsPerSecond": 5, "copiedBytesPerSecond": "6MiB",
                    "fetchQueueDepth": 7, "connections": 8, "sources": 9, "sourceBytes": "12MiB", "pageTableBytes": "13MiB", "maps": 10, "mapBytes": "11MiB",
                    "cacheBytes": "14MiB"
                  }
                }
              }
            }
            """);

        Assert.Equal(
            new ListenOptions
            {
                Socket = "/srv/m.sock",
                Mode = 0x180,
                Group = "0",
                GroupId = 0,
                Backlog = 7,
                MaxConnections = 8,
                FirstMessageTimeout = TimeSpan.FromSeconds(3),
            },
            configuration.Listen);
        Assert.Equal(
            new MetricsOptions { Enabled = false, Address = "::1", Port = 1234, Dashboard = false, SlowFault = TimeSpan.FromMilliseconds(5) }, configuration.Metrics);
        Assert.Equal(
            new EngineSettings
            {
                FaultLoops = 2,
                FetchThreads = 3,
                FetchConcurrencyPerTenant = 2,
                PinLoops = true,
                LivenessSweep = TimeSpan.FromSeconds(2),
                AdoptionTimeout = TimeSpan.FromSeconds(9),
            },
            configuration.Engine);
        Assert.Equal(new LoggingOptions { Level = LogLevel.Debug, Format = LogFormat.Json }, configuration.Logging);
        Assert.Equal(
            new OtlpOptions
            {
                Enabled = true,
                Endpoint = "https://collector:4318",
                Protocol = "http/protobuf",
                Interval = TimeSpan.FromSeconds(5),
                Metrics = false,
                Traces = false,
            },
            configuration.Otlp);
        Assert.Equal(new WorkingSetOptions { Directory = "/srv/traces", BesideImages = false }, configuration.WorkingSets);
        Assert.Equal(TimeSpan.FromSeconds(1), configuration.Shutdown.Grace);
        Assert.Equal(new ImageOptions { Directory = "/srv/images", SourceDirectories = ["/srv/files"], CacheBytes = 2L << 30, MapBytes = 3L << 30 }, configuration.Images);
        Assert.Equal(
            new PolicyOptions
            {
                Source = new PolicySourceOptions { Kind = PolicySourceKind.File, Path = "/srv/image", Offset = 8192 },
                FaultAroundBytes = 65536,
                OnUnavailable = UnavailableAction.Poison,
                Deadline = TimeSpan.FromSeconds(1),
                RetryBackoff = TimeSpan.FromMilliseconds(5),
                BusyPoll = TimeSpan.FromMicroseconds(50),
                Prefetch = new PrefetchOptions
                {
                    Mode = PrefetchMode.ReplayThenFull,
                    MaxBytes = 7 << 20,
                    MaxTime = TimeSpan.FromSeconds(8),
                    MaxPagesInFlight = 9,
                    RecordTime = TimeSpan.FromSeconds(10),
                },
                RemoveMeansSource = true,
            },
            configuration.Policies["image"]);

        TenantOptions tenant = configuration.Tenants["blue"];
        Assert.Equal([1000u, 1001u], tenant.Match.Uids);
        Assert.Equal([50u], tenant.Match.Gids);
        Assert.Equal(["/blue.slice"], tenant.Match.Cgroups);
        Assert.Equal((false, "image", false, 5), (tenant.Default, tenant.DefaultPolicy, tenant.SourceDescriptors, tenant.Weight));
        Assert.Equal(["image"], tenant.Policies);
        Assert.Equal(["/srv"], tenant.SourceDirectories);
        Assert.Equal(["clean"], tenant.Images);
        Assert.Equal(
            new TenantLimitOptions
            {
                Sessions = 1,
                Regions = 2,
                RegisteredBytes = 3 << 20,
                PagesInFlight = 4,
                FaultsPerSecond = 5,
                CopiedBytesPerSecond = 6 << 20,
                FetchQueueDepth = 7,
                Connections = 8,
                Sources = 9,
                SourceBytes = 12 << 20,
                PageTableBytes = 13 << 20,
                Maps = 10,
                MapBytes = 11 << 20,
                CacheBytes = 14 << 20,
            },
            tenant.Limits);
    }

    [Fact]
    public void All_errors_are_reported_at_once_with_key_value_and_what_is_allowed()
    {
        string[] errors = Layers.Errors("""
            {
              "listen": { "mode": "0999", "group": "no-such-group" },
              "metrics": { "port": 70000, "address": "localhost" },
              "engine": { "fetchThreads": 0 },
              "otlp": { "endpoint": "collector:4317" },
              "policies": {
                "a": { "source": { "kind": "file" }, "faultAroundBytes": 12288 },
                "b": { "source": { "kind": "zero", "path": "/x" }, "deadline": "1s", "retryBackoff": "2s" }
              },
              "tenants": {
                "t": { "defaultPolicy": "c", "policies": ["a", "d"], "weight": "heavy" },
                "u": { "match": { "uids": [-1] } }
              }
            }
            """);

        string[] expected =
        [
            "engine.fetchThreads: \"0\" is not allowed; allowed is a whole number from 1 to 256 (from file0.json)",
            "listen.group: \"no-such-group\" is not allowed; there is no such group in /etc/group, and it is no number (from file0.json)",
            "listen.mode: \"0999\" is not allowed; allowed is octal permission bits from 0000 to 0777 (from file0.json)",
            "metrics.address: \"localhost\" is not allowed; allowed is an IPv4 or IPv6 address (from file0.json)",
            "metrics.port: \"70000\" is not allowed; allowed is a whole number from 0 to 65535 (from file0.json)",
            "otlp.endpoint: \"collector:4317\" is not allowed; allowed is a http or https URL (from file0.json)",
            "policies.a.faultAroundBytes: \"12288\" is not allowed; allowed is 0 or a power of two from 4KiB to 2MiB (from file0.json)",
            "policies.a.source.path: is required for source.kind file: an absolute path",
            "policies.b.retryBackoff: \"2s\" is not allowed; allowed is a time from 1ms to 1s, with us, ms, s, m, h, or as hh:mm:ss (from file0.json)",
            "policies.b.source.path: is only allowed for source.kind file, not zero (from file0.json)",
            "tenants.t.defaultPolicy: \"c\" is not allowed; allowed are the names under policies: a, b (from file0.json)",
            "tenants.t.match: is empty and the tenant is not the default one, so no client would ever match",
            "tenants.t.policies: \"d\" is not allowed; allowed are the names under policies: a, b",
            "tenants.t.weight: \"heavy\" is not allowed; allowed is a whole number from 1 to 1000 (from file0.json)",
            "tenants.u.defaultPolicy: is required: text",
            "tenants.u.match.uids: \"-1\" is not allowed; allowed is a list of ids from 0 to 4294967294",
        ];
        Assert.Equal(expected, errors.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("""{ "lisen": { "socket": "/x" } }""", "lisen.socket: is not a known key; did you mean listen.socket? (from file1.json)")]
    [InlineData("""{ "tenants": { "everybody": { "limits": { "sesions": 1 } } } }""",
        "tenants.everybody.limits.sesions: is not a known key; did you mean tenants.*.limits.sessions? (from file1.json)")]
    [InlineData("""{ "metrics": 5 }""", "metrics: \"5\" is not allowed; it is a section and needs an object (from file1.json)")]
    [InlineData("""{ "tenants": { "everybody": true } }""",
        "tenants.everybody: \"true\" is not allowed; it is a section and needs an object (from file1.json)")]
    [InlineData("""{ "metrics": { "port": { "number": 1 } } }""", "metrics.port.number: is below a key that takes a single value (from file1.json)")]
    [InlineData("""{ "metrics": { "port": [1] } }""", "metrics.port.0: is below a key that takes a single value (from file1.json)")]
    [InlineData("""{ "frobnicate": "yes" }""", "frobnicate: is not a known key (from file1.json)")]
    [InlineData("""{ "policies": { "a b": {} } }""",
        "policies.a b: is not a usable name; allowed are 1 to 64 of the characters a-z, A-Z, 0-9, - and _")]
    public void Unknown_key_is_an_error(string document, string error) => Assert.Contains(error, Layers.Errors(Layers.Minimal, document));

    [Theory]
    [InlineData("""{ "listen": """, "is not valid JSON (line 1, byte 13)")]
    [InlineData("""{ "metrics": { "port": 1, "port": 2 } }""", "is not valid JSON")]
    [InlineData("[]", "must be a JSON object")]
    public void Broken_document_is_named_and_nothing_else_is_complained_of(string document, string problem)
    {
        string error = Assert.Single(Layers.Errors(Layers.Minimal, document));
        Assert.StartsWith("file1.json: " + problem, error, StringComparison.Ordinal);
    }

    [Fact]
    public void Later_document_wins_key_by_key()
    {
        ManagerConfiguration configuration = Layers.LoadValid(
            Layers.Minimal, """{ "metrics": { "port": 1, "address": "::1" } }""", """{ "metrics": { "port": 2 } }""");
        Assert.Equal((2, "::1"), (configuration.Metrics.Port, configuration.Metrics.Address));
    }

    [Fact]
    public void List_of_a_later_document_replaces_the_earlier_one()
    {
        ManagerConfiguration configuration = Layers.LoadValid(
            Layers.Minimal,
            """{ "tenants": { "everybody": { "match": { "uids": [1, 2, 3], "gids": [4] } } } }""",
            """{ "tenants": { "everybody": { "match": { "uids": [9], "gids": [] } } } }""");
        Assert.Equal([9u], configuration.Tenants["everybody"].Match.Uids);
        Assert.Empty(configuration.Tenants["everybody"].Match.Gids);
    }

    [Fact]
    public void Null_puts_a_key_back_to_its_default()
    {
        ManagerConfiguration configuration = Layers.LoadValid(Layers.Minimal, """{ "metrics": { "port": 1 } }""", """{ "metrics": { "port": null } }""");
        Assert.Equal(9464, configuration.Metrics.Port);
    }

    [Fact]
    public void Null_removes_a_tenant()
    {
        ManagerConfiguration configuration = Layers.LoadValid(
            Layers.Minimal, """{ "tenants": { "everybody": null, "root": { "match": { "uids": [0] }, "defaultPolicy": "zero" } } }""");
        Assert.Equal(["root"], configuration.Tenants.Keys);
    }

    [Fact]
    public void Names_and_keys_ignore_case()
    {
        ManagerConfiguration configuration = Layers.LoadValid(Layers.Minimal, """{ "TENANTS": { "EVERYBODY": { "DefaultPolicy": "ZERO", "Weight": 7 } } }""");
        Assert.Equal(7, Assert.Single(configuration.Tenants).Value.Weight);
    }

    [Fact]
    public void Configuration_without_tenants_is_refused() =>
        Assert.Equal(["tenants: none is configured, so every client would be refused; name at least one"], Layers.Errors("{}"));

    [Theory]
    [InlineData("\"match\": { \"uids\": [5] }", "tenants.b.match: uid 5 belongs to tenants.a already")]
    [InlineData("\"match\": { \"gids\": [5] }", "tenants.b.match: gid 5 belongs to tenants.a already")]
    [InlineData("\"match\": { \"cgroups\": [\"/x\"] }", "tenants.b.match: cgroup /x belongs to tenants.a already")]
    [InlineData("\"default\": true", "tenants.b.default: is true, and so is tenants.a.default; only one tenant may be the default (from file0.json)")]
    public void Peer_that_two_tenants_claim_is_an_error(string claim, string error)
    {
        string document = $$"""
            { "policies": { "zero": {} },
              "tenants": { "a": { {{claim}}, "defaultPolicy": "zero" }, "b": { {{claim}}, "defaultPolicy": "zero" } } }
            """;
        Assert.Equal([error], Layers.Errors(document));
    }

    [Fact]
    public void Origins_name_the_document_of_each_value()
    {
        LoadedConfiguration loaded = Layers.Load(
            Layers.Minimal, """{ "metrics": { "port": 1 }, "tenants": { "everybody": { "match": { "uids": [1] } } } }""");
        Assert.Equal("file1.json", Origin("metrics.port"));
        Assert.Equal("file1.json", Origin("tenants.everybody.match.uids"));
        Assert.Equal("file0.json", Origin("tenants.everybody.defaultPolicy"));
        Assert.Equal("default", Origin("metrics.address"));

        string Origin(string path) => Assert.Single(loaded.Settings, setting => setting.Path == path).Origin;
    }

    [Fact]
    public void Shown_document_is_a_configuration_with_the_same_meaning()
    {
        LoadedConfiguration loaded = Layers.Load(Layers.Minimal, """{ "listen": { "mode": "600" }, "policies": { "zero": { "busyPoll": "50us" } } }""");
        string document = ConfigurationDocument.Write(loaded.Settings, withSources: false);

        LoadedConfiguration again = Layers.Load(document);
        Assert.Empty(again.Errors);
        Assert.Equal(document, ConfigurationDocument.Write(again.Settings, withSources: false));
        Assert.Equal(0x180u, again.Value!.Listen.Mode);
        Assert.Equal(TimeSpan.FromMicroseconds(50), again.Value.Policies["zero"].BusyPoll);
    }

    [Fact]
    public void Embedded_configuration_is_valid()
    {
        using var directory = new TestSupport.TempDirectory();
        List<ConfigurationError> errors = [];
        string text = File.ReadAllText(Path.Combine(TestSupport.NativeProgram.RepositoryRoot, "manager", "Daemon", "config.json"));
        LoadedConfiguration loaded = ConfigurationLoader.Load([new JsonLayer("config.json", text)], errors);
        Assert.Empty(loaded.Errors);
        Assert.True(loaded.Value!.Tenants["default"].Default);
    }
}
