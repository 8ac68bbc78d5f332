"""Offer the flows in Prefect's UI: `make ui`, or

    python -m pipelines.serve                  to the server that PREFECT_API_URL names; without one, starts one
    python -m pipelines.serve --limit 4        up to four runs at a time on this machine

A server that is started here listens on this machine alone (127.0.0.1), keeps its records in ~/.prefect (PREFECT_HOME
sets another place), and ends with this program, also where its terminal is closed (nohup keeps both); its runs and
their history stay. Beside it, the Data Docs of all runs are served, on this machine alone too. A run that is going on
when this program is killed goes on to its end.
"""

import argparse
import functools
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError, masked, one_line
from pipelines.server import check_server, healthy

LOOPBACK = "127.0.0.1"
_CHECKOUT = Path(__file__).resolve().parents[1]
_PLACE = "checkout "
"""Begins the tag that says whose a deployment is: HOST:PATH follows."""
_SERVER_SECONDS = 180.0  # an empty database is migrated first


def start_server(port: int, stop: ExitStack) -> str:
    """Start a Prefect server on this machine alone, unless one answers there already; its API's address.

    Raises:
        BertlineError: something else holds the port, or the server does not come up.
    """
    address = f"http://{LOOPBACK}:{port}/api"
    if healthy(address):
        return address
    if _taken(port):
        raise BertlineError("another program listens there", where=f"{LOOPBACK}:{port}", fix="Give another --port")
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)]
    # Its own session: Ctrl-C is for this program, which ends its runs first and then the server.
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    environment["PREFECT_SERVER_UI_API_URL"] = address  # or else the pages ask port 4200, whatever this one is
    # By default any website that is open in a browser here may start runs, promote models, and read what it is told.
    own = ",".join(f"http://{host}:{port}" for host in (LOOPBACK, "localhost"))
    environment.setdefault("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", own)
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    stop.callback(_end, server)
    deadline = time.monotonic() + _SERVER_SECONDS
    while not healthy(address):
        if server.poll() is not None or time.monotonic() > deadline:
            fix = "Run `prefect server start` to see why; `bertline doctor` checks what it needs"
            raise BertlineError("the Prefect server did not come up", where=address, fix=fix)
        time.sleep(0.2)
    return address


def start_pages(port: int, stop: ExitStack) -> str:
    """Serve the Data Docs of all runs on this machine alone; the address. Any free port, where this one is taken."""
    folder = Artifacts(_CHECKOUT).pages
    folder.mkdir(parents=True, exist_ok=True)
    handler = functools.partial(_Pages, directory=str(folder))
    server = ThreadingHTTPServer((LOOPBACK, 0 if _taken(port) else port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop.callback(server.shutdown)
    return f"http://{LOOPBACK}:{server.server_port}"


class _Pages(SimpleHTTPRequestHandler):
    """Files of one folder, without a log."""

    def log_message(self, format: str, *args: object) -> None:
        return


def _serve_flows(limit: int) -> None:
    """Register the deployments and run what is started, until SIGINT, SIGTERM or SIGHUP."""
    # Prefect reads its settings when it is imported, and they are known only now.
    from prefect import serve  # noqa: PLC0415

    from pipelines.abandoned import settle  # noqa: PLC0415

    name = deployment_name(_CHECKOUT)
    if name != "local":
        print(f"There, this checkout's flows are called {name}: others are another's.", flush=True)
    offered = deployments(name)
    names = [each.full_name for each in offered]
    settle(names, _tag())  # of a `make ui`, or a machine, that was killed
    try:
        serve(*offered, limit=limit, print_starting_message=False)
    finally:
        settle(names, _tag())


def deployments(name: str) -> list[Any]:
    """The flows as deployments of this checkout; schedules that people have made for them in the UI stay."""
    from prefect.types.entrypoint import EntrypointType  # noqa: PLC0415  (as above)

    from pipelines.promotion import promote, rollback  # noqa: PLC0415
    from pipelines.retrain import retrain  # noqa: PLC0415
    from pipelines.sweep import sweep  # noqa: PLC0415

    tags = ["bertline", _tag()]
    offered: list[Any] = [
        made.to_deployment(name, entrypoint_type=EntrypointType.MODULE_PATH, tags=tags)
        for made in (retrain, sweep, promote, rollback)
    ]
    for each in offered:
        each.model_fields_set.discard("schedules")  # to_deployment sets none, in whose place the server puts none
    return offered


def deployment_name(checkout: Path) -> str:
    """What the deployments of a checkout are called: `local`, unless another checkout's are, on this server.

    Both would take the runs of one name, which then had either one's code, parameters and registry.
    """
    from prefect.client.orchestration import get_client  # noqa: PLC0415  (as above)
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415

    names = itertools.chain(["local"], (f"local-{number}" for number in itertools.count(2)))
    with get_client(sync_client=True) as client:
        for name in names:
            try:
                tags = client.read_deployment_by_name(f"retrain/{name}").tags
            except ObjectNotFound:
                break
            if not any(_is_of_another(tag, checkout) for tag in tags):
                break
    return name


def _tag() -> str:
    return f"{_PLACE}{socket.gethostname()}:{_CHECKOUT}"


def _is_of_another(tag: str, checkout: Path) -> bool:
    """Whether a deployment's tag names another checkout, which is still there as far as this machine can know.

    The same path is the same checkout on any host: a container has another name each time.
    """
    host, _, folder = tag.removeprefix(_PLACE).partition(":")
    if not tag.startswith(_PLACE) or folder == str(checkout):
        return False
    return host != socket.gethostname() or Path(folder).is_dir()


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 1 to 65535")
    return int(text)


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of runs: 1 or more")
    return int(text)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    """Serve until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.serve", description="Offer the flows in Prefect's UI.")
    parser.add_argument("--limit", type=_limit, default=1, metavar="N", help="runs at a time on this machine (1)")
    parser.add_argument("--port", type=_port, default=4200, help="of the server, where one is started (4200)")
    parser.add_argument("--pages-port", type=_port, default=4201, metavar="PORT", help="of the Data Docs (4201)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda received, _: sys.exit(128 + received))
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup: to go on without a terminal
        # As SIGTERM, whose handler is Prefect's by then: the default would leave the server behind.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    os.chdir(_CHECKOUT)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_CHECKOUT), os.environ.get("PYTHONPATH", "")]))
    try:
        with ExitStack() as stop:
            address = os.environ.get("PREFECT_API_URL") or start_server(arguments.port, stop)
            check_server(address)
            os.environ["PREFECT_API_URL"] = address
            os.environ.setdefault("BERTLINE_PAGES_URL", start_pages(arguments.pages_port, stop))
            where = masked(address).removesuffix("/api")
            print(
                f"Prefect: {where}/deployments\nThere: retrain, then Run, Custom run. Ctrl-C here ends it.", flush=True
            )
            _serve_flows(arguments.limit)
    except (BertlineError, OSError) as error:
        print(f"serve: error: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
