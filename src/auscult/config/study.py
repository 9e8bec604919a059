"""`study.yaml`: what only the authors of a study know, for reporting checklists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from auscult.config.base import Settings
from auscult.config.documents import read_yaml
from auscult.config.files import STUDY_FILE, parse


def _text(description: str) -> Any:
    return Field(default="", description=description)


class StudySettings(Settings):
    """Each field is a sentence or two, or where it stands in the paper (`section 2.1`)."""

    title: str = _text("the paper's title: a study of a prediction model or a diagnostic test, for whom, of what")
    abstract: str = _text("where the structured abstract is")
    background: str = _text("clinical context, why the model is needed, what there is already")
    intended_use: str = _text("for whom, by whom and where in care the model is meant")
    inequalities: str = _text("known differences of health or care between groups of people")
    objectives: str = _text("objectives and hypotheses")
    design: str = _text(
        "prospective or retrospective; how participants were sampled (consecutive, random, convenience)"
    )
    dates: str = _text("when recordings were made and labels given")
    setting: str = _text("number, kind and place of the centres")
    identification: str = _text("on what basis people were found: symptoms, results, a register")
    eligibility: str = _text("who could take part and who could not")
    data_source: str = _text("where the data come from: routine care, this study, a public collection; why these")
    representativeness: str = _text(
        "how far the data look like the people the model is meant for; how data from elsewhere differ"
    )
    treatments: str = _text("treatments received, and how they were dealt with")
    acquisition: str = _text("how sounds were recorded: device, chest positions, posture, duration, protocol")
    reference_standard: str = _text("how the condition was established, and why in this way")
    assessors: str = _text("who gave the labels: qualification, number, training; how they agreed")
    rater_agreement: str = _text("agreement between and within raters")
    blinding: str = _text("what those who gave the labels knew of the sound, of the model and of the patient")
    interval_between_tests: str = _text("time between recording and reference standard, and what was done in it")
    severity: str = _text("how severe the condition was in those who had it")
    alternative_diagnoses: str = _text("what those had who did not have it")
    adverse_events: str = _text("harm by recording or by the reference standard")
    sample_size: str = _text("intended size of the study, and the reason for it")
    deidentification: str = _text("how recordings and tables were freed of names")
    fairness: str = _text("what was done so that no group of people is served worse, and why")
    ethics_of_use: str = _text("ethical questions of using the model, fairness among them")
    ethics: str = _text("committee, number, consent or waiver")
    funding: str = _text("who paid, and what part they took")
    conflicts: str = _text("conflicts of interest of the authors, commercial interests in the model")
    protocol: str = _text("where the study's protocol can be read, or that there is none")
    registration: str = _text("register and number, or that it was not registered")
    data_sharing: str = _text("where the data can be had, and on what terms")
    code_sharing: str = _text("where code and model can be had, and on what terms")
    patient_involvement: str = _text("how patients and the public took part, or that they did not")
    human_interaction: str = _text("what users do with input and output, and what they must know")
    input_quality: str = _text("what to do with a poor or missing recording in practice")
    interpretation: str = _text("what the results mean beside the aims and earlier studies, fairness included")
    limitations: str = _text("limits of the study beyond those that the report lists")
    implications: str = _text("what follows for practice; intended use and clinical role")
    next_steps: str = _text("what has to be studied next: usefulness, other places and people")


_STUDY = TypeAdapter(StudySettings)


def study_paths(config_dir: Path, group: str) -> list[Path]:
    """Return the `study.yaml` that are there: the project's, then that of the experiments' folder.

    Args:
        config_dir: The folder `config`.
        group: Folder of the experiment.
    """
    found = (config_dir / STUDY_FILE, config_dir / "experiments" / group / STUDY_FILE)
    return [path for path in found if path.is_file()]


def read_study(paths: Sequence[Path]) -> StudySettings:
    """Read `study.yaml`, the fields of a later one in place of an earlier one's.

    Raises:
        ConfigError: One is malformed, or names a field that there is not.
    """
    stated: dict[str, Any] = {}
    for path in paths:
        study: StudySettings = parse(_STUDY, read_yaml(path), str(path))
        stated |= study.model_dump(exclude_unset=True)
    return StudySettings.model_validate(stated)
