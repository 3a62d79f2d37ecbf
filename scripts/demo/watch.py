"""usage: watch.py URL [--total]

Prints once a second what the manager's /metrics say: faults, faults a second, percentiles of the service time in that second. With
--total: prints the number of faults served and of bytes installed so far, and ends.
"""
import re
import signal
import sys
import time
import urllib.request

SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def scrape(url):
    """The samples of /metrics: (name, labels, value)."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            found = SAMPLE.match(line)
            if found:
                yield found[1], dict(LABEL.findall(found[2] or "")), float(found[3])


class Reading:
    def __init__(self, url):
        self.at = time.monotonic()
        self.sums = {}
        self.buckets = {}
        for name, labels, value in scrape(url):
            self.sums[name] = self.sums.get(name, 0) + value
            if name == "uffd_manager_fault_duration_seconds_bucket":
                limit = float(labels["le"])
                self.buckets[limit] = self.buckets.get(limit, 0) + value

    def sum(self, name):
        return self.sums.get("uffd_manager_" + name, 0)

    @property
    def installed(self):
        return self.sum("copied_bytes_total") + self.sum("zeroed_bytes_total")


def percentile(before, now, share):
    """The bucket limit below which that share of the faults between two readings lies, in seconds; None without faults."""
    counts = [(limit, count - before.buckets.get(limit, 0)) for limit, count in sorted(now.buckets.items())]
    if not counts or counts[-1][1] <= 0:
        return None
    return next(limit for limit, count in counts if count >= share * counts[-1][1])


def duration(seconds):
    if seconds is None:
        return "-"
    if seconds == float("inf"):
        return "> 10 s"
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 0.9999:
            return f"<= {seconds * factor:g} {unit}"
    return "<= 1 us"


def show(url):
    print(f"{'time':8} {'faults':>10} {'faults/s':>9} {'installed':>10} {'sessions':>8}   {'p50':>9} {'p90':>9} {'p99':>9} {'p99.9':>9}")
    before = Reading(url)
    while True:
        # A line a second is what is promised.
        time.sleep(max(0, before.at + 1 - time.monotonic()))
        now = Reading(url)
        rate = (now.sum("faults_total") - before.sum("faults_total")) / (now.at - before.at)
        times = " ".join(f"{duration(percentile(before, now, share)):>9}" for share in (0.5, 0.9, 0.99, 0.999))
        print(
            f"{time.strftime('%H:%M:%S')} {now.sum('faults_total'):10,.0f} {rate:9,.0f} {now.installed / 2**20:6,.0f} MiB"
            f" {now.sum('sessions'):8.0f}   {times}",
            flush=True,
        )
        before = now


def main():
    url = sys.argv[1]
    if "--total" in sys.argv:
        reading = Reading(url)
        print(f"{reading.sum('faults_total'):.0f} {reading.installed:.0f}")
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        show(url)
    except OSError as error:
        sys.exit(f"the manager does not answer any more: {error}")


if __name__ == "__main__":
    main()
