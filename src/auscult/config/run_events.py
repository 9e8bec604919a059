"""Run events: where they go (`events` in `config/config.yaml`), and what each holds (`config/schema/run_event.json`).

Nothing here has to do with the events of a recording: those are `config.events`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from auscult.config.base import Settings
from auscult.errors import ConfigError

BUSES = ("file", "kafka", "pubsub")
KINDS = ("started", "epoch", "saved", "stopped", "finished", "failed", "published")
TYPE_PREFIX = "auscult.run."
SOURCE = "/auscult"
DATA_SCHEMA = "urn:auscult:run-event:1"
_TIMEOUT = "seconds until a request without an answer counts as failed; it is sent again later"
_CLIENTS = {"kafka": ("confluent_kafka", "confluent-kafka"), "pubsub": ("google.pubsub_v1", "google-cloud-pubsub")}


class KafkaSettings(Settings):
    """A topic of Apache Kafka; every other setting of its client comes from the environment."""

    brokers: str = Field(
        pattern=r"^[^\s,@/]+:[0-9]+(,[^\s,@/]+:[0-9]+)*$", description="host:port of one or more, with commas between"
    )
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$", description="it must exist: none is made")
    timeout_s: float = Field(default=10.0, gt=0, description=_TIMEOUT)


class PubsubSettings(Settings):
    """A topic of Google Pub/Sub; credentials come from the environment."""

    project: str = Field(pattern=r"^[a-z0-9][a-z0-9.:-]*$")
    topic: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", description="it must exist: none is made")
    subscription: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$",
        description="what `auscult events listen` follows; it must exist: none is made",
    )
    timeout_s: float = Field(default=10.0, gt=0, description=_TIMEOUT)


class RunEventSettings(Settings):
    """Where events of trainings and results are sent: to each bus that is named; none is the default."""

    kafka: KafkaSettings | None = None
    pubsub: PubsubSettings | None = None
    file: str | None = Field(default=None, min_length=1, description="a file that gets a line an event, of all runs")

    @property
    def buses(self) -> tuple[str, ...]:
        """Those that are named, the quickest first."""
        return tuple(bus for bus in BUSES if getattr(self, bus) is not None)


def require_clients(settings: RunEventSettings) -> None:
    """Refuse a bus whose library is not installed: before hours of training, not after.

    Raises:
        ConfigError: Saying which, and how to install it.
    """
    for bus in settings.buses:
        module, package = _CLIENTS.get(bus, (None, None))
        if module is not None and not _is_installed(module):
            raise ConfigError(
                f"events.{bus}: {package} is not installed; `pip install {package}`, or take `{bus}` out of `events`"
            )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False


class _Data(BaseModel):
    """No key beside those that are declared: nothing of a patient can slip in."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    group: str = Field(description="the experiment's folder, mostly called like its task")
    experiment: str


class _OfTraining(_Data):
    job: str = Field(description="its run in the experiment, with fold and seed where there are any")
    training: str = Field(description="equal in all sessions of one training; another one starts at the beginning")
    attempt: int = Field(ge=1, description="the session's number in this run folder")


class Started(_OfTraining):
    """A session begins to train."""

    epochs: int = Field(ge=1, description="at most so many in all")
    epoch: int = Field(ge=1, description="the first that it trains")
    batch: int = Field(ge=0, description="so many of that epoch are done")
    resumed: bool


class Epoch(_OfTraining):
    """An epoch was trained, and validated where that was due."""

    epoch: int = Field(ge=1)
    epochs: int = Field(ge=1)
    metrics: dict[str, float | None] = Field(description="as in metrics.jsonl; null: undefined")


class Saved(_OfTraining):
    """The state was saved: a kill loses nothing before it."""

    epoch: int = Field(ge=1, description="where the next session resumes")
    batch: int = Field(ge=0)


class Stopped(_OfTraining):
    """A session ended before the training did: its state is saved."""

    reason: str


class Finished(_OfTraining):
    """The model is written."""

    best_epoch: int | None


class Failed(_OfTraining):
    """A session ended by a fault."""

    error: str = Field(description="the kind of fault; train.log has its text, which may name recordings")


class Published(_Data):
    """A result is complete."""

    result: str = Field(description="its folder")
    jobs: tuple[str, ...]
    checksums_sha256: str = Field(description="of its checksums.txt, which holds those of all its files")


class _Event(BaseModel):
    """The envelope: CloudEvents 1.0 in its JSON form."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(pattern="^[0-9a-f]{32}$", description="an event that comes twice has the same id")
    source: Literal["/auscult"] = SOURCE
    subject: str = Field(description="<group>/<experiment>/<job>, of a result without the job")
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: Literal["urn:auscult:run-event:1"] = DATA_SCHEMA


class StartedEvent(_Event):
    """See `Started`."""

    type: Literal["auscult.run.started"]
    data: Started


class EpochEvent(_Event):
    """See `Epoch`."""

    type: Literal["auscult.run.epoch"]
    data: Epoch


class SavedEvent(_Event):
    """See `Saved`."""

    type: Literal["auscult.run.saved"]
    data: Saved


class StoppedEvent(_Event):
    """See `Stopped`."""

    type: Literal["auscult.run.stopped"]
    data: Stopped


class FinishedEvent(_Event):
    """See `Finished`."""

    type: Literal["auscult.run.finished"]
    data: Finished


class FailedEvent(_Event):
    """See `Failed`."""

    type: Literal["auscult.run.failed"]
    data: Failed


class PublishedEvent(_Event):
    """See `Published`."""

    type: Literal["auscult.run.published"]
    data: Published


RunEvent = StartedEvent | EpochEvent | SavedEvent | StoppedEvent | FinishedEvent | FailedEvent | PublishedEvent
RUN_EVENT: TypeAdapter[Any] = TypeAdapter(Annotated[RunEvent, Field(discriminator="type")])
