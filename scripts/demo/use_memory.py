"""Fills anonymous memory, works on it in a database and in a forked child, and prints what it found: the same with and without the manager."""
import hashlib
import os
import random
import sqlite3
import sys

SIZE = int(sys.argv[1]) << 20
PAGE = 4096

memory = bytearray(SIZE)
untouched = memory.count(0) == SIZE
dice = random.Random(SIZE)
pages = list(range(0, SIZE, PAGE))
dice.shuffle(pages)
for page in pages[: len(pages) // 2]:
    memory[page : page + 8] = page.to_bytes(8, "little")
print("fresh memory is zero:", untouched)
print("memory:", hashlib.sha256(memory).hexdigest())

database = sqlite3.connect(":memory:")
database.execute("CREATE TABLE reading (id INTEGER PRIMARY KEY, place TEXT, value INTEGER)")
database.executemany(
    "INSERT INTO reading (place, value) VALUES (?, ?)",
    ((f"place {dice.randrange(1000)}", dice.randrange(10**6)) for _ in range(200_000)),
)
database.execute("CREATE INDEX by_place ON reading (place, value)")
print("database:", database.execute("SELECT count(*), sum(value), count(DISTINCT place) FROM reading").fetchone())

# The child sees the parent's memory, and its writes stay its own.
sys.stdout.flush()
child = os.fork()
if child == 0:
    same = hashlib.sha256(memory).hexdigest()
    memory[:] = b"\xff" * SIZE
    print("child:", same)
    sys.stdout.flush()
    os._exit(0)
print("child ended with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print("memory:", hashlib.sha256(memory).hexdigest())
