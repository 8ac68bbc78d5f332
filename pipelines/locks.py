"""What to do about a lock of git or DVC that a message names: those of killed programs look like any other. And about a
dvc.lock that a merge has left in two.

Our own locks (bertline.base.files.exclusive_lock) end with their process.
"""

import re
import shlex

_GIT = re.compile(r"Unable to create '(.+\.lock)': File exists")
_DVC = {
    "is busy, it is being blocked by": "Wait for the process that DVC names; if it is no DVC: rm .dvc/tmp/rwlock",
    "RWLock-file": "A full disk or a killed run left it so: rm .dvc/tmp/rwlock",
    "Unable to acquire lock": "Wait for the other DVC",
    "dvc.lock', YAML": "In a merge take one side, `git checkout --ours dvc.lock`, and run `dvc repro`: what either"
    " side has made is restored, the rest is run",
}


def what_to_do(message: str) -> str:
    """The fix for the lock that git's or DVC's message speaks of; empty where it speaks of none."""
    git = _GIT.search(message)
    if git:
        return f"Wait for the other git; where none runs, one was killed: rm {shlex.quote(git[1])}"
    return next((fix for words, fix in _DVC.items() if words in message), "")
