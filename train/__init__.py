"""Training and evaluation of StackGAN; every module here with a `main` runs as python -m train.X."""

import os

# A training step allocates the same gigabytes again and again. In huge pages the kernel hands them
# out 512 times faster than in small ones: on a CPU that is a fifth of the step. Read by torch at its
# first allocation, so it is set before torch is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
