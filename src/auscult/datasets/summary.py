"""What an ingest found, counted: `summary.json`."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from typing import Any

from auscult.audio.probe import AudioFacts
from auscult.storage.tables import Event, Notice, Recording, Rejection

MAX_SUBJECTS = 1000
MAX_LABEL_VALUES = 1000
OTHERS = "(further values)"


class Summary:
    """Counts as items come; its size depends on the number of different values, not of recordings."""

    def __init__(self, dataset: str, layout: str) -> None:
        self._names = {"dataset": dataset, "layout": layout}
        self.n_recordings = 0
        self._duration_s = 0.0
        self._patients: set[str] = set()
        self._facts: dict[str, Counter[str]] = {
            name: Counter() for name in ("sample_rates_hz", "encodings", "channels", "devices", "sites", "sexes")
        }
        self._missing: Counter[str] = Counter()
        self._labels: dict[str, Counter[str]] = {}
        self._missing_labels: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._events_s: defaultdict[str, float] = defaultdict(float)
        self._rejected: Counter[str] = Counter()
        self._notices: Counter[str] = Counter()
        self._subjects: dict[str, list[str]] = {}
        self._digest = hashlib.sha256()

    def add_recording(self, recording: Recording, facts: AudioFacts) -> None:
        """Count one usable recording."""
        self.n_recordings += 1
        self._duration_s += facts.duration_s
        self._patients.add(recording.patient_id)
        self._digest.update(repr((recording, facts.sha256)).encode())
        values = {
            "sample_rates_hz": str(facts.sample_rate_hz) if facts.sample_rate_hz else None,  # a picture has none
            "encodings": facts.encoding,
            "channels": str(facts.n_channels),
            "devices": recording.device,
            "sites": recording.site,
            "sexes": recording.sex,
        }
        for name, value in values.items():
            if value is None:
                self._missing[name] += 1
            else:
                _count(self._facts[name], value)
        for label, value in recording.labels.items():
            counts = self._labels.setdefault(label, Counter())
            if value is None:
                self._missing_labels[label] += 1
            else:
                _count(counts, value)

    def add_event(self, event: Event) -> None:
        """Count one event of a usable recording."""
        self._events[event.kind] += 1
        self._events_s[event.kind] += event.end_s - event.start_s
        self._digest.update(f"{event.recording_id}\t{event.start_s!r}\t{event.end_s!r}\t{event.kind}\n".encode())

    def add_rejection(self, rejection: Rejection) -> None:
        """Count one rejection by the class that opens its reason."""
        self._rejected[rejection.reason.split(":", 1)[0]] += 1

    def add_notice(self, notice: Notice) -> None:
        """Count one notice; the first 1000 subjects of a kind are kept."""
        self._notices[notice.kind] += 1
        subjects = self._subjects.setdefault(notice.kind, [])
        if len(subjects) < MAX_SUBJECTS:
            subjects.append(notice.subject)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts; `content_sha256` changes when a sound, an event, or anything said of a recording does."""
        return {
            **self._names,
            "recordings": self.n_recordings,
            "patients": len(self._patients),
            "duration_h": round(self._duration_s / 3600, 6),
            **{name: dict(sorted(counts.items())) for name, counts in self._facts.items()},
            "missing": {name: self._missing[name] for name in ("devices", "sites", "sexes")},
            "labels": {
                label: {"counts": dict(sorted(counts.items())), "missing": self._missing_labels[label]}
                for label, counts in self._labels.items()
            },
            "events": {
                kind: {"count": count, "duration_h": round(self._events_s[kind] / 3600, 6)}
                for kind, count in sorted(self._events.items())
            },
            "rejected": {"total": self._rejected.total(), "by_class": dict(sorted(self._rejected.items()))},
            "notices": {
                kind: {"count": count, "subjects": self._subjects[kind]}
                for kind, count in sorted(self._notices.items())
            },
            "content_sha256": self._digest.hexdigest(),
        }


def _count(counts: Counter[str], value: str) -> None:
    counts[value if value in counts or len(counts) < MAX_LABEL_VALUES else OTHERS] += 1
