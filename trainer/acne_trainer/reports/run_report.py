"""One HTML page about a finished training, for reviewers: everything inside, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from acne_runtime.atomic_write import write_atomically
from acne_runtime.errors import SourceError
from acne_runtime.result import Result
from acne_runtime.severity import NO_DIAGNOSIS
from acne_trainer.data.dataset import Sample, names_of
from acne_trainer.data.load import read_split
from acne_trainer.evaluation.error_analysis import Failure
from acne_trainer.evaluation.predictions import load_predictions, predictions_file
from acne_trainer.metrics.catalog import METRICS
from acne_trainer.reports import detection, multilabel
from acne_trainer.reports.curves import course_section
from acne_trainer.reports.gallery import photos_section
from acne_trainer.reports.render import note, render, section, table
from acne_trainer.reports.tables import overall_table
from acne_trainer.run_folder import FURTHER, TrainedRun, read_run

_PAPER_SCALING = (
    "This backbone was fed values from 0 to 1, as the paper did, and not what it was pretrained with. That may explain "
    "the losses of 36.75, 2.15 and 14.62 that the paper reports for its backbones."
)


@dataclass(frozen=True, slots=True)
class _Answers:
    """Photographs and what the model predicted, in the same order."""

    samples: list[Sample]
    results: list[Result]


def write_report(folder: Path, out: Path, with_photos: bool = False, split: str = "test") -> list[str]:
    """Writes the page.

    Args:
        folder: The run folder.
        out: The page's file.
        with_photos: Whether photographs of people go into it.
        split: Whose metrics and predictions are shown, `test` or `valid`.

    Returns:
        What could not be shown, a line each; the page says it too.

    Raises:
        SourceError: It is no run folder, or a file in it is corrupt.
        ModelError: Its manifest is corrupt.
        OSError: The page cannot be written.
    """
    run = read_run(folder)
    if split not in run.metrics:
        raise SourceError(f"{folder / 'metrics.json'}: no metrics of {split}")
    gaps: list[str] = []
    answers = _answers(run, split, gaps)
    kind = detection if run.manifest.task == "detection" else multilabel
    metrics = run.metrics[split]
    first, *metric_parts = kind.metric_sections(run.manifest, metrics)
    told: list[Markup] = []
    if answers:
        told, failures = kind.prediction_sections(run.manifest, answers.samples, answers.results, metrics)
        told.append(_failures(failures, answers))
        if with_photos:
            told.append(photos_section(run.manifest, answers.samples, answers.results, failures, gaps))
    if not run.history:
        gaps.append(f"{folder / 'history.csv'}: not there, or empty; the course of the training is not shown")
    parts = [
        first,
        *(note(gap, "Not shown") for gap in gaps),
        *_scaling(run),
        *([course_section(run)] if run.history else []),
        *metric_parts,
        *_further_sets(run, split),
        *told,
        *_tail(run),
    ]
    what = "where each lesion is" if run.manifest.task == "detection" else "which lesion types are there"
    page = render(
        "page.html",
        title=f"{run.manifest.name}, run {folder.resolve().name}",
        heading=f"{run.manifest.name}: {what}",
        about=_about(run, split, metrics["images"]),
        parts=parts,
        disclaimer=NO_DIAGNOSIS,
    )
    write_atomically(out, page.encode())
    return gaps


def _further_sets(run: TrainedRun, split: str) -> list[Markup]:
    """Returns the metrics on the other labelled sets of the training."""
    return [
        section(
            f"On {name}",
            (f"{of_set[split]['images']} photographs of {name}/{split}; all types as one lesion."),
            overall_table(METRICS[run.manifest.task], of_set[split]["model"], of_set[split]["baseline"]),
        )
        for name, of_set in run.metrics.get(FURTHER, {}).items()
        if split in of_set
    ]


def _answers(run: TrainedRun, split: str, gaps: list[str]) -> _Answers | None:
    """Returns the photographs with their answers, or `None` and a line in `gaps` where there are none."""
    file = predictions_file(run.folder, split)
    lost = "precision-recall curves, confusion, failures and photographs are not shown"
    if not file.is_file():
        gaps.append(f"{file}: not there, as in runs of an older acne-train; {lost}")
        return None
    manifest = run.manifest
    results = load_predictions(file)
    for result in results:
        if result.classes != manifest.classes or (result.lesions is not None) != (manifest.task == "detection"):
            raise SourceError(f"{file}: {result.source} has an answer that is not of {manifest.name}")
    if manifest.one_box_per_lesion and any(
        lesion.types is None for result in results for lesion in result.lesions or ()
    ):
        gaps.append(f"{file}: of an older acne-train, with a box a type instead of a box a lesion; {lost}")
        return None
    try:
        if run.data is None:
            raise SourceError(f"{run.folder / 'config.toml'}: not found, so the photographs' folder is not known")
        data = read_split(run.data, split)
        if data.classes != manifest.classes:
            raise SourceError(f"{data.path}: its classes {list(data.classes)} are not the model's")
        if manifest.task == "detection" and not data.has_boxes:
            raise SourceError(f"{data.path}: its labels have no boxes")
    except SourceError as error:
        gaps.append(f"{error}; {lost}")
        return None
    by_name = dict(zip(names_of(data.samples), data.samples, strict=True))
    known = [result for result in results if result.source in by_name]
    if len(known) < len(results):
        gaps.append(f"{data.path}: {len(results) - len(known)} of {len(results)} photographs are no longer there")
    return _Answers([by_name[result.source] for result in known], known) if known else None


def _about(run: TrainedRun, split: str, photographs: int) -> str:
    provenance = run.manifest.provenance
    name = provenance.get("data") or (run.data.name if run.data else "unknown data")
    return (
        f"Run {run.folder.resolve().name}. Figures on {photographs} photographs of {name}/{split}, "
        f"trained on {provenance.get('train_photographs', 'an unknown number of')} others; 95 % intervals; a "
        "trivial baseline, which never sees the image, next to every metric."
    )


def _scaling(run: TrainedRun) -> list[Markup]:
    is_backbone = run.manifest.task == "multilabel" and run.settings.get("model") != "cnn"
    return [note(_PAPER_SCALING)] if is_backbone and run.settings.get("input_scaling") == "paper" else []


def _failures(failures: Mapping[str, Sequence[Failure]], answers: _Answers) -> Markup:
    tables = [
        table((kind, ""), [(answers.samples[failure.image_index].path.name, failure.message) for failure in of_kind])
        for kind, of_kind in failures.items()
        if of_kind
    ]
    remark = "Labels are incomplete in many sets: a false one may be a lesion that nobody marked."
    return section("Failures worth looking at", remark, *tables)


def _tail(run: TrainedRun) -> list[Markup]:
    """Returns what it takes to make the run again."""
    provenance = run.manifest.provenance
    facts = {**run.settings, **dict(provenance.get("versions") or {})}
    facts |= {name: provenance[name] for name in ("train_fingerprint", "revision", "licence") if provenance.get(name)}
    rows = [(name, str(value)) for name, value in facts.items()]
    return [section("Settings and origin", table(("", ""), rows))]
