"""Ray: machines that do runs. Imported where there are runs to do, not before."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from configs import one_line
from sweeps.definition import Definition
from sweeps.search import Job
from sweeps.trial import Outcome, run_trial

CONNECT, ANSWER = 5.0, 24.0
"""Seconds in which a cluster has to take a connection, and to answer."""
STORE_BYTES = 100 << 20
"""Of Ray's store of objects, through which nothing but settings goes."""
_ROUNDING = 1e-9
LOST = "lost"
"""Status of a run whose process or machine ended; it goes on from its checkpoint elsewhere."""


@dataclass(frozen=True)
class Share:
    """What a run takes."""

    cpu: float
    gpu: float

    def fits(self, resources: dict[str, float]) -> int:
        """How many such shares a machine has."""
        by_cpu = int(resources.get("CPU", 0) / self.cpu + _ROUNDING)
        gpus = int(resources.get("GPU", 0))
        if not self.gpu:
            return by_cpu
        if self.gpu > 1:
            return min(by_cpu, gpus // int(self.gpu))
        return min(by_cpu, gpus * int(1 / self.gpu + _ROUNDING))  # a share is of one GPU


class Cluster:
    """Ray on this machine, or the cluster at an address.

    Args:
        definition: The sweep.
        root: Where it lies.
        address: Of the cluster; None: Ray is started here, with all that the machine has.
        num_cpus: CPUs to start it with; None: all.

    Raises:
        ValueError: If the cluster does not answer, or no machine of it has what a run takes.
        ImportError: If Ray is not installed.
    """

    def __init__(
        self, definition: Definition, root: str, address: str | None, num_cpus: int | None = None
    ) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody else's affair
        import ray

        if address is not None:
            check_address(address)
        self.ray: Any = ray
        local = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level="ERROR",
            **({"num_cpus": num_cpus, **local} if address is None else {}),
        )
        self._share = Share(definition.cpu, definition.gpu)
        self._root, (self._metric, _) = root, definition.metric
        self._running: dict[Any, Job] = {}
        self._stopped: set[Any] = set()  # a second signal would break a run off
        self._slots, self._looked = 0, -math.inf
        if self.slots() < 1:
            machines: list[dict[str, float]] = [node["Resources"] for node in self._nodes()]
            most = max(machines, key=self._order, default={})
            self.close()
            raise ValueError(
                f"no machine has what a run takes (`resources`: {definition.cpu:g} CPUs, "
                f"{definition.gpu:g} GPUs); the largest has {most.get('CPU', 0):g} CPUs, "
                f"{most.get('GPU', 0):g} GPUs"
            )
        options = {"num_cpus": definition.cpu, "num_gpus": definition.gpu, "max_retries": 0}
        self._remote = ray.remote(**options)(run_trial)

    @staticmethod
    def _order(resources: dict[str, float]) -> tuple[float, float]:
        return resources.get("GPU", 0), resources.get("CPU", 0)

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self.ray.nodes() if node["Alive"]]

    def slots(self) -> int:
        """Runs that fit on the machines at once; machines come and go."""
        if time.monotonic() - self._looked > 2.0:
            self._looked = time.monotonic()
            self._slots = sum(self._share.fits(node["Resources"]) for node in self._nodes())
        return self._slots

    @property
    def running(self) -> list[Job]:
        """What was handed to Ray, and has not ended."""
        return list(self._running.values())

    def start(self, job: Job) -> None:
        """Hands a run to Ray."""
        trial = job.trial
        args = (self._root, trial.name, trial.config, self._metric, job.until)
        self._running[self._remote.remote(*args)] = job

    def wait(self, seconds: float) -> Iterator[tuple[Job, Outcome]]:
        """Yields the runs that end within some seconds."""
        ready, _ = self.ray.wait(list(self._running), timeout=seconds)
        for ref in ready:
            yield self._running.pop(ref), self._outcome(ref)

    def _outcome(self, ref: Any) -> Outcome:
        errors = self.ray.exceptions
        try:
            outcome: Outcome = self.ray.get(ref)
        except errors.TaskCancelledError:
            return Outcome("stopped")
        except errors.RayTaskError as error:
            line = one_line(error.cause) if isinstance(error.cause, Exception) else str(error)
            return Outcome("failed", error=line)
        except errors.RayError as error:
            return Outcome(LOST, error=type(error).__name__)
        return outcome

    def stop(self) -> None:
        """Lets all runs save their state and end, as the first Ctrl-C does."""
        for ref in self._running.keys() - self._stopped:
            self._stopped.add(ref)
            self.ray.cancel(ref)

    def close(self) -> None:
        """Leaves the cluster, or ends it if it was started here."""
        self.ray.shutdown()


def check_address(address: str) -> None:
    """Asks a cluster whether it is there, in a process of its own: Ray waits long, and then exits.

    Raises:
        ValueError: If it does not answer.
    """
    if address.startswith("ray://"):
        raise ValueError(
            f"`--address` should be HOST:PORT of the head, or auto. Received {address}"
        )
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:  # what is not there at all says so at once
            socket.create_connection((host, int(port)), timeout=CONNECT).close()
        except OSError as error:
            raise ValueError(f"the cluster at {address} does not answer: {error}") from None
    code = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False)"
    command = [sys.executable, "-c", code, address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"the cluster at {address} does not answer ({ANSWER:.0f} s); is `ray start --head` up?"
        ) from None
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ValueError(f"the cluster at {address} does not answer: {last}")
