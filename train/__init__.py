"""Training and evaluation of StackGAN; every module here with a `main` runs as python -m train.X."""

import ctypes
import os

# A training step allocates the same gigabytes again and again. In huge pages the kernel hands them
# out 512 times faster than in small ones: on a CPU that is a fifth of the step. Read by torch at its
# first allocation, so it is set before torch is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def _keep_freed_memory() -> None:
    """glibc's malloc gives large blocks back to the kernel as soon as they are freed, and asks for
    them anew, zeroed, in the next step. Kept, they are at hand: another tenth of a step."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library, which has its own ways
    trim_threshold, mmap_max = -1, -4  # numbers of <malloc.h>
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, -1)


_keep_freed_memory()
