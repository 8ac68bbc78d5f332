"""One thin file a DVC stage: file name = stage name = section of params.yaml. Run one with `bertline STAGE`."""

import os

# OpenMP's threads spin while they wait for one another, by default for milliseconds: beside any other busy process they
# take the core from the very thread they wait for. A thousand rounds still bridge what lies between two operations.
# libgomp reads it as PyTorch loads, which comes later (https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
