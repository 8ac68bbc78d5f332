"""What every benchmark here shares: the machine and its versions, its matrix-product peak, medians, and result files.

A benchmark is run from the root, as `python -m benchmarks.NAME`, and writes benchmarks/results/NAME.json.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from bertline.base.errors import BertlineError, one_line
from bertline.base.processor import CPU_INFORMATION

Result = TypeVar("Result")
RESULTS = Path(__file__).parent / "results"
# What our trainer asks of glibc in its own process (training/device.py), a user of a peer sets in the environment.
KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
_LEAST_SECONDS = 5.0
# Those that matrix products depend on, of x86 and of ARM.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
_PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "numpy", "scipy")


class FailedError(RuntimeError):
    """A program that a benchmark ran has failed, or what it checks does not hold."""


@contextmanager
def for_people(name: str) -> Iterator[None]:
    """End a benchmark that cannot go on with one clear message and status 1, one that Ctrl-C ends with 130."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except FailedError as error:
        sys.exit(f"{name}: error: {error}")
    except (BertlineError, OSError) as error:
        sys.exit(f"{name}: error: {one_line(error)}")


def describe() -> dict[str, Any]:
    """The machine and the versions that a result was measured with.

    A cloud calls processors of many generations by one name, so that what they can do stands beside it.
    """
    known = (_of_processor("flags") or _of_processor("Features")).split()  # on x86, on ARM
    return {
        "cpu": _of_processor("model name") or platform.processor(),
        "instructions": [name for name in _INSTRUCTIONS if name in known],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: found for package in _PACKAGES if (found := _version(package))},
    }


def _of_processor(key: str) -> str:
    """What Linux says of the first processor under a key; "" where it says nothing."""
    try:
        lines = CPU_INFORMATION.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    named = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in named if name.strip() == key), "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and largest of repeated measurements."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def in_words(found: dict[str, float], style: str, unit: str = "") -> str:
    """A spread for people, each figure in the given format: `7.48 (7.40 to 7.75)`."""
    return f"{found['median']:{style}}{unit} ({found['min']:{style}} to {found['max']:{style}})"


def timed(action: Callable[[], Result]) -> tuple[Result, float]:
    """Do it until five seconds are spent, once at least; what the last time gave, and the median of the seconds."""
    seconds: list[float] = []
    while sum(seconds) < _LEAST_SECONDS:
        started = time.perf_counter()
        result = action()
        seconds.append(time.perf_counter() - started)
    return result, statistics.median(seconds)


def peak_memory() -> int:
    """Bytes that this process has held at most (resident set)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_new_process(
    module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run `python -m module …`, with some variables set, and read the JSON object in the last line that it prints.

    Raises:
        FailedError: it failed.
    """
    command = [sys.executable, "-m", module, *arguments]
    variables = {**os.environ, **(environment or {})}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if ended.returncode:
        raise FailedError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return found


def read_result(name: str) -> dict[str, Any]:
    """What an earlier run on such a machine has written, so that a benchmark need not be made in one go; else {}."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found if found.get("machine") == describe() else {}


def write_result(name: str, value: Mapping[str, Any]) -> Path:
    """Write benchmarks/results/NAME.json, with the machine added, whole or not at all."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"machine": describe(), **value}, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path
