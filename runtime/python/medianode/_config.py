"""What a container is told: the node's ends of the graph and its params."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

from ._errors import ConfigError

WIRING_VERSION = 1
SESSION_MARK = "{session}"
ENV_NODE = "MEDIANODE_NODE"
ENV_PARAMS = "MEDIANODE_PARAMS"
# How a reader waits for a frame, the least eager first.
WAITS = ("block", "adaptive", "spin")


@dataclass(frozen=True)
class Reader:
    """One planned reader of a channel; its index is its slot in the ledger."""

    node: str
    port: str
    buffer: int
    hold: int
    retry: bool = False  # back after its death, it gets again what it had not finished

    @property
    def queue(self) -> int:
        """How many frames wait for it in shared memory at most."""
        return self.buffer + self.hold if self.retry else self.buffer


@dataclass(frozen=True)
class Spec:
    """Everything that both ends of a channel must know beforehand."""

    name: str
    max_frame: int
    policy: str  # block or drop_oldest
    readers: tuple[Reader, ...]
    loans: int

    @property
    def blocks(self) -> bool:
        """Whether the writer waits for readers without room."""
        return self.policy == "block"

    @property
    def buffer(self) -> int:
        """The largest buffer of the readers."""
        return max((r.buffer for r in self.readers), default=1)

    @property
    def queue(self) -> int:
        """The largest queue of the readers."""
        return max((r.queue for r in self.readers), default=1)

    @property
    def history(self) -> int:
        """How many sent frames the writer keeps for readers that get frames again."""
        return max((r.queue for r in self.readers if r.retry), default=0)

    @property
    def hold(self) -> int:
        """The largest hold of the readers."""
        return max((r.hold for r in self.readers), default=1)

    @property
    def max_subscribers(self) -> int:
        """How many readers the service admits."""
        return max(1, len(self.readers))

    @property
    def max_nodes(self) -> int:
        """How many processes may have the service open."""
        return 2 * (self.max_subscribers + 2)

    def of_session(self, session: str) -> Spec:
        """Return the spec of one session's channel."""
        return replace(self, name=self.name.replace(SESSION_MARK, session))

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Spec:
        """Read a spec from its JSON value."""
        readers = tuple(
            Reader(r.get("node", ""), r.get("port", ""), int(r["buffer"]), int(r["hold"]), bool(r.get("retry")))
            for r in value.get("readers") or ()
        )
        policy = value.get("policy") or "block"
        if policy not in ("block", "drop_oldest"):
            raise ConfigError(f"channel {value['name']}: policy {policy!r}: want block or drop_oldest")
        return cls(value["name"], int(value["max_frame"]), policy, readers, int(value.get("loans") or 1))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value."""
        return {
            "name": self.name,
            "max_frame": self.max_frame,
            "policy": self.policy,
            "readers": [vars(r) for r in self.readers],
            "loans": self.loans,
        }


@dataclass(frozen=True)
class Input:
    """One connection that enters the node."""

    port: str
    kind: str  # empty: any
    source: str
    source_port: str
    feedback: bool
    slot: int
    channel: Spec
    wait: str  # adaptive, block or spin


@dataclass(frozen=True)
class Output:
    """One output port with its channels; none if nothing reads the port."""

    port: str
    kind: str
    max_frame: int
    channels: tuple[Spec, ...]


@dataclass(frozen=True)
class Domain:
    """The two strings by which iceoryx2 keeps projects apart."""

    root: str
    prefix: str


@dataclass(frozen=True)
class NodeConfig:
    """One node's ends of the graph."""

    project: str
    domain: Domain
    id: str
    type: str
    streaming: bool
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    control: Optional[Spec]
    status: Optional[Spec]
    timeout_ms: int  # of one call of process; 0: none
    alive: str  # a file to write in when the node's thread last came by; empty: none

    @property
    def wait(self) -> str:
        """How the node waits: as the most eager of its inputs."""
        return max((i.wait for i in self.inputs), key=WAITS.index, default="adaptive")

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> NodeConfig:
        """Read a node from its JSON value."""
        if value.get("version") != WIRING_VERSION:
            raise ConfigError(
                f"{ENV_NODE} has version {value.get('version')}, this SDK reads {WIRING_VERSION}:"
                " build the image and start the pipeline with the same docker medianode"
            )
        inputs = tuple(
            Input(
                i["port"],
                i.get("kind") or "",
                i["source"],
                i.get("source_port") or "output",
                bool(i.get("feedback")),
                int(i["slot"]),
                Spec.parse(i["channel"]),
                _wait(i),
            )
            for i in value.get("inputs") or ()
        )
        outputs = tuple(
            Output(
                o["port"],
                o.get("kind") or "",
                int(o["max_frame"]),
                tuple(Spec.parse(c) for c in o.get("channels") or ()),
            )
            for o in value.get("outputs") or ()
        )
        control, status = value.get("control"), value.get("status")
        return cls(
            project=value.get("project", ""),
            domain=Domain(value["domain"]["root"], value["domain"]["prefix"]),
            id=value["id"],
            type=value["type"],
            streaming=bool(value.get("is_streaming", True)),
            inputs=inputs,
            outputs=outputs,
            control=Spec.parse(control) if control else None,
            status=Spec.parse(status) if status else None,
            timeout_ms=int(value.get("timeout_ms") or 0),
            alive=value.get("alive") or "",
        )


def _wait(value: Mapping[str, Any]) -> str:
    wait = str(value.get("wait") or "adaptive")
    if wait not in WAITS:
        raise ConfigError(f"input {value['port']}: wait {wait!r}: want one of {', '.join(WAITS)}")
    return wait


def from_environment(environ: Mapping[str, str] = os.environ) -> tuple[NodeConfig, dict[str, Any]]:
    """Read the node and its params from the environment of a container."""
    text = environ.get(ENV_NODE)
    if not text:
        raise ConfigError(f"{ENV_NODE} is not set: a node runs in a container that docker medianode starts")
    try:
        config = NodeConfig.parse(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise ConfigError(f"{ENV_NODE} cannot be read: {type(err).__name__}: {err}") from err
    try:
        # NaN, Infinity and integers of any size are what Python's json reads.
        params = json.loads(environ.get(ENV_PARAMS) or "{}")
    except ValueError as err:
        raise ConfigError(f"{ENV_PARAMS} cannot be read: {err}") from err
    if not isinstance(params, dict):
        raise ConfigError(f"{ENV_PARAMS} holds {type(params).__name__}, want a mapping")
    return config, params
