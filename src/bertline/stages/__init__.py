"""One thin file a DVC stage: file name = stage name = section of params.yaml. Run one with `bertline STAGE`."""

import os
import sys
from types import TracebackType

# OpenMP's threads spin while they wait for one another, by default for milliseconds: beside any other busy process they
# take the core from the very thread they wait for. A thousand rounds still bridge what lies between two operations.
# libgomp reads it as PyTorch loads, which comes later (https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _end_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Of Ctrl-C while a stage imports what it needs, which takes seconds: from then on `main` has the say."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print("interrupted", file=sys.stderr)
    sys.exit(130)


if sys.argv[:1] == ["-m"]:  # the module to run is being looked for: `python -m bertline.stages.NAME`
    sys.excepthook = _end_in_one_line
