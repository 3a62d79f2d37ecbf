"""usage: shimmed.py [FILE]

A program that knows nothing of the manager: writes, gives up and checks memory until SIGTERM, and prints lines like those of the survival
client. The memory begins as zeros, or as a private mapping of the file.
"""
import mmap
import os
import random
import signal
import sys
import time

PAGE = 4096
PAGES = 2048
source = os.open(sys.argv[1], os.O_RDONLY) if len(sys.argv) > 1 else None
ended = False


def end(_number, _frame):
    global ended
    ended = True


def fail(text):
    print("FAIL", text, flush=True)
    sys.exit(1)


def contents(page, version):
    if version:
        return bytes([(page * 31 + version * 7) & 255]) * PAGE
    return os.pread(source, PAGE, page * PAGE) if source is not None else bytes(PAGE)


def check(memory, page, version):
    if memory[page * PAGE : (page + 1) * PAGE] != contents(page, version):
        fail(f"page {page} does not hold what was written to it as version {version}")


def main():
    signal.signal(signal.SIGTERM, end)
    if source is None:
        memory = mmap.mmap(-1, PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    else:
        memory = mmap.mmap(source, PAGES * PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    versions = [0] * PAGES
    rng = random.Random(1)
    operations = 0
    killed = 0
    longest = 0.0
    said = time.monotonic()
    while not ended:
        page = rng.randrange(PAGES)
        begun = time.monotonic()
        check(memory, page, versions[page])
        choice = rng.random()
        if choice < 0.5:
            versions[page] += 1
            memory[page * PAGE : (page + 1) * PAGE] = contents(page, versions[page])
        elif choice < 0.7:
            memory.madvise(mmap.MADV_DONTNEED, page * PAGE, PAGE)
            versions[page] = 0
        elif choice < 0.702:
            child = os.fork()
            if child == 0:
                for other in range(0, PAGES, 97):
                    check(memory, other, versions[other])
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            if source is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                # Its parent has a keeper; a child that has not spoken yet when the manager stops has none.
                killed += 1
            elif status != 0:
                fail("a child has failed")
        operations += 1
        now = time.monotonic()
        longest = max(longest, now - begun)
        if now - said >= 0.5:
            said = now
            print(f"progress ops={operations}", flush=True)
    for page in range(PAGES):
        check(memory, page, versions[page])
    print(f"ok ops={operations} stall_ms={int(longest * 1000)} killed_children={killed}", flush=True)


main()
