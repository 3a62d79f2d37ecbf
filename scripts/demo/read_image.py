"""Maps a file read-only, hashes it through the mapping and prints the sum: an ordinary program that knows nothing of the manager."""
import hashlib
import mmap
import sys

with open(sys.argv[1], "rb") as image, mmap.mmap(image.fileno(), 0, access=mmap.ACCESS_READ) as contents:
    print(hashlib.sha256(contents).hexdigest())
