"""Files are whole or absent; locks name their holder; JSON is the same bytes for the same value."""

import errno
import fcntl
import math
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import date
from pathlib import Path

import pytest

from bertline.base.errors import BertlineError
from bertline.base.files import (
    atomic_directory,
    atomic_file,
    exclusive_lock,
    machine_lock,
    read_json,
    read_jsonl,
    sha256_directory,
    sha256_json,
    write_json,
    write_json_rows,
    write_jsonl,
)


def python(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    for write, value in ((write_json, {"new": math.nan}), (write_jsonl, [{"new": math.nan}])):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write(path, value)
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_failed_directory_leaves_the_old_one_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with atomic_directory(path) as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_directory(path) as temporary:
        (temporary / "a").write_text("new")
        raise RuntimeError
    assert (path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for name in ("first", "second"):
        with atomic_directory(path) as temporary:
            (temporary / name).mkdir()
            (temporary / name / "file").write_text(name)
    assert [file.name for file in path.iterdir()] == ["second"]
    assert os.listdir(tmp_path) == ["out"]


def test_what_a_killed_process_had_begun_is_removed_by_the_next_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out [1]"
    begin = """
        import sys, time
        from pathlib import Path
        from bertline.base.files import atomic_directory
        with atomic_directory(Path(sys.argv[1])) as temporary:
            (temporary / "a").write_text(sys.argv[2])
            print("begun", flush=True)
            sys.stdin.read()
        """
    killed, living = (python(begin, path, text, stdin=subprocess.PIPE) for text in ("killed", "living"))
    for child in (killed, living):
        assert child.stdout is not None and child.stdout.readline() == "begun\n"
    assert len(os.listdir(tmp_path)) == 2
    killed.kill()
    killed.communicate()
    with atomic_directory(path) as temporary:
        (temporary / "a").write_text("next")
    assert len(os.listdir(tmp_path)) == 2
    living.communicate("")
    assert living.returncode == 0
    assert (path / "a").read_text() == "living"
    assert os.listdir(tmp_path) == ["out [1]"]


REPLACE = """
    import os, shutil, signal, sys
    from pathlib import Path
    from bertline.base.files import atomic_directory

    def stopped(*_, **__):
        if sys.argv[2] == "waits":
            print("between", flush=True)
            sys.stdin.readline()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    if sys.argv[3] == "between the names":
        first = Path.replace

        def replace(self, target):
            if self.suffix == ".tmp":
                stopped()
            return first(self, target)

        Path.replace = replace
    else:
        shutil.rmtree = stopped
    with atomic_directory(Path(sys.argv[1])) as temporary:
        (temporary / "a").write_text("new")
    """


@pytest.mark.parametrize(("when", "left"), [("between the names", "old"), ("while the old is removed", "new")])
def test_what_a_replacement_had_set_aside_when_it_was_killed_is_put_back_or_removed(
    when: str, left: str, tmp_path: Path
) -> None:
    path = tmp_path / "out [1]"
    with atomic_directory(path) as temporary:
        (temporary / "a").write_text("old")
    killed = python(REPLACE, path, "dies", when)
    assert killed.wait(timeout=60) == -signal.SIGKILL
    killed.communicate()
    assert len(os.listdir(tmp_path)) == 2
    with pytest.raises(RuntimeError), atomic_directory(path):
        assert (path / "a").read_text() == left
        raise RuntimeError
    assert (path / "a").read_text() == left
    assert os.listdir(tmp_path) == ["out [1]"]


def test_what_was_set_aside_for_a_longer_name_is_not_touched(tmp_path: Path) -> None:
    aside = tmp_path / ".out.v2.abcd_123.old" / "out.v2"
    aside.mkdir(parents=True)
    with atomic_directory(tmp_path / "out"):
        pass
    assert aside.is_dir()
    with atomic_directory(tmp_path / "out.v2"):
        assert (tmp_path / "out.v2").is_dir()
    assert sorted(os.listdir(tmp_path)) == ["out", "out.v2"]


def test_what_a_living_process_has_set_aside_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with atomic_directory(path) as temporary:
        (temporary / "a").write_text("old")
    living = python(REPLACE, path, "waits", "between the names", stdin=subprocess.PIPE)
    assert living.stdout is not None and living.stdout.readline() == "between\n"
    with pytest.raises(RuntimeError), atomic_directory(path):
        assert not path.exists()
        raise RuntimeError
    _, errors = living.communicate("\n", timeout=60)
    assert living.returncode == 0, errors
    assert (path / "a").read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


def test_a_replacement_that_fails_puts_the_old_directory_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, first = tmp_path / "out", Path.replace
    with atomic_directory(path) as temporary:
        (temporary / "a").write_text("old")

    def replace(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError(errno.EIO, "Input/output error")
        return first(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="Input/output"), atomic_directory(path) as temporary:
        (temporary / "a").write_text("new")
    assert (path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_directory_may_be_written_inside_one_that_is_being_written(tmp_path: Path) -> None:
    nested = """
        import sys
        from pathlib import Path
        from bertline.base.files import atomic_directory
        with atomic_directory(Path(sys.argv[1])) as outer, atomic_directory(outer / "inner") as inner:
            (inner / "a").write_text("b")
        """
    writer = python(nested, tmp_path / "out")
    try:
        assert writer.wait(timeout=30) == 0
    finally:
        writer.kill()
        writer.communicate()
    assert (tmp_path / "out" / "inner" / "a").read_text() == "b"


def test_a_directory_is_written_where_the_file_system_locks_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EBADF, "as NFS says of a directory")

    monkeypatch.setattr(fcntl, "flock", refused)
    test_a_directory_is_replaced_whole(tmp_path)


def test_a_full_disk_in_mid_write_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"row": 1}])
    child = python(
        """
        import resource, signal, sys
        from pathlib import Path
        from bertline.base.files import write_jsonl
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        write_jsonl(Path(sys.argv[1]), ({"row": "x" * 100} for _ in range(1000)))
        """,
        path,
    )
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "File too large" in errors
    assert list(read_jsonl(path)) == [{"row": 1}]
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_the_same_value_is_the_same_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": [1.5, "é"]})
    write_json(tmp_path / "b", {"a": [1.5, "é"], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sha256_json({"b": 1, "a": 2}) == sha256_json({"a": 2, "b": 1}) != sha256_json({"a": 1, "b": 2})
    assert sha256_json({"a": date(2026, 1, 2)}) == sha256_json({"a": "2026-01-02"}), "as YAML reads it"


def test_json_rows_stand_one_a_line_and_read_back(tmp_path: Path) -> None:
    rows = [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.25}]
    write_json_rows(tmp_path / "curve.json", rows)
    assert read_json(tmp_path / "curve.json") == rows
    assert len((tmp_path / "curve.json").read_text().splitlines()) == 4
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_rows(tmp_path / "curve.json", [{"loss": math.nan}])
    assert write_jsonl(tmp_path / "rows.jsonl", rows) == 2
    (tmp_path / "rows.jsonl").write_text((tmp_path / "rows.jsonl").read_text().replace("\n", "\n\n \n"))
    assert list(read_jsonl(tmp_path / "rows.jsonl")) == rows, "empty lines are no rows"


def test_a_file_is_flushed_before_it_gets_its_name_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flush, flushed = tmp_path / "a.json", os.fsync, list[tuple[bool, bool]]()

    def fsync(descriptor: int) -> None:
        flushed.append((Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path, path.exists()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(path, {})
    assert flushed == [(False, False), (True, True)]


def test_all_of_a_directory_is_flushed_before_it_gets_its_name_and_its_name_and_those_above_it_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flush, flushed = tmp_path / "above" / "out", os.fsync, list[tuple[str, bool]]()

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path).as_posix()
        flushed.append((re.sub(r"\.out\.\w+\.tmp", "begun", name), path.exists()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_directory(path) as temporary:
        (temporary / "folder").mkdir()
        (temporary / "folder" / "file").write_text("text")
    inside = ["above/begun", "above/begun/folder", "above/begun/folder/file"]
    assert flushed == [(".", False), *((name, False) for name in inside), ("above", True)]


@pytest.mark.parametrize(
    ("umask", "modes"), [(0o022, (0o644, 0o755)), (0o077, (0o600, 0o700)), (0o002, (0o664, 0o775))]
)
def test_what_is_written_may_be_read_by_those_whom_the_user_lets(
    tmp_path: Path, umask: int, modes: tuple[int, int]
) -> None:
    """Not as temporary files are made: for their owner alone."""
    before = os.umask(umask)
    try:
        write_json(tmp_path / "file", {})
        with atomic_directory(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert tuple((tmp_path / name).stat().st_mode & 0o777 for name in ("file", "folder")) == modes


def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path: Path) -> None:
    """As root in a container, `--out /dev/null` would leave a file there, and the machine without it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BertlineError, match="pipe: a device or a pipe, no file"), atomic_file(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"a": ', "line 2: not valid JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"a": ' + "[" * 100_000, r"line 2: not valid JSON \(maximum recursion depth"),
    ],
    ids=["cut off", "no object", "nested too deep"],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n' + line + "\n")
    with pytest.raises(BertlineError, match=told):
        list(read_jsonl(path))


def test_json_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": "é"}', encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json") == {"a": "é"}


def test_json_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(BertlineError, match=r"a\.json: not UTF-8 .*Convert it to UTF-8"):
        read_json(tmp_path / "a.json")


def test_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(BertlineError, match=r"nothing\.json: file not found"):
        read_json(tmp_path / "nothing.json")


def test_the_hash_of_a_directory_follows_names_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for number, (name, text) in enumerate([("a", "1"), ("a", "1"), ("b", "1"), ("a", "2"), ("inner/a", "1")]):
        folder = tmp_path / str(number)
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
        (folder / "z").touch()
        made.append(sha256_directory(folder))
    assert made[0] == made[1]
    assert len(set(made)) == 4
    listed = Path.rglob  # in an order that is the file system's own
    monkeypatch.setattr(Path, "rglob", lambda *arguments: sorted(listed(*arguments), reverse=True))
    assert [sha256_directory(tmp_path / str(number)) for number in range(5)] == made


HOLD = """
import sys, time
from pathlib import Path
from bertline.base.files import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), "pre-training"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_refused_by_name_and_a_dead_one_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = python(HOLD, path)
    assert holder.stdout is not None
    holder.stdout.readline()
    with (
        pytest.raises(BertlineError, match=f"pre-training is already running: process {holder.pid}"),
        exclusive_lock(path, "pre-training"),
    ):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with exclusive_lock(path, "pre-training"):
        assert path.read_text().split(" on ")[0] == f"process {os.getpid()}"


def test_a_machine_s_locks_are_the_same_whatever_the_folder_for_temporary_files_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from bertline.base.files import machine_lock; print(machine_lock('gpu-0'))"
    monkeypatch.delenv("BERTLINE_LOCKS", raising=False)
    found = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.add(python(code, env={**os.environ, "TMPDIR": str(tmp_path / name)}).communicate()[0])
    assert len(found) == 1 and f"bertline-{os.getuid()}-gpu-0.lock\n" in found.pop()
    monkeypatch.setenv("BERTLINE_LOCKS", str(tmp_path))
    assert machine_lock("gpu-0").parent == tmp_path


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    """In /tmp it may be anybody's: what it leads to would be written over."""
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "lock").symlink_to("mine")
    with pytest.raises(OSError, match="symbolic link"), exclusive_lock(tmp_path / "lock", "work"):
        pass
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_patient_process_waits_for_the_lock(tmp_path: Path) -> None:
    path, held, order = tmp_path / "lock", threading.Event(), list[str]()

    def first() -> None:
        with exclusive_lock(path, "first"):
            held.set()
            time.sleep(0.3)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait()
    with pytest.raises(BertlineError, match="second is already running"), exclusive_lock(path, "second", patience=0.1):
        pass
    with exclusive_lock(path, "third", patience=20):
        order.append("third")
    thread.join()
    assert order == ["first", "third"]
