"""One export: run folder in, one proven model file and its readable manifest out."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray

from acne_export.accuracy import HEADLINE, Photographs
from acne_export.conversion import Conversion, convert, opened, with_suppression
from acne_export.exporters import FALLBACKS, exporter_of
from acne_export.golden.answers import golden_answers
from acne_export.golden.image import golden_input, sha256
from acne_export.graph.reshape import manifest_of
from acne_export.onnx_export.convert import onnx_with_manifest
from acne_export.quantization.calibration_images import inputs_from
from acne_export.recipe import Format, Recipe
from acne_export.reference import PHOTOGRAPHS_ASKED, Source, source_of
from acne_export.run_folder import RunFolder
from acne_export.tflite_export.metadata import tflite_with_manifest
from acne_export.validation import ProofError, damaged_layers
from acne_runtime.atomic_write import write_together
from acne_runtime.backends.keras import activation_ranges
from acne_runtime.digest import compute_digest
from acne_runtime.errors import ModelError, SourceError
from acne_runtime.manifest import InputSpec, Manifest, manifest_path
from acne_runtime.model import Model


class DropError(ProofError):
    """A converted file is less accurate than it may be."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a file is handed over.

    Attributes:
        calibration: A folder of photographs that activations' ranges are taken from, instead of the trainer's.
        photographs: Where accuracy is measured before and after; `None` measures none.
        max_drop: By how much the headline figure may fall, 0 to 1.
        fallback: Whether a recipe that fails is followed by the next of `FALLBACKS`.
        force: Whether an existing file is replaced.
    """

    calibration: Path | None = None
    photographs: Photographs | None = None
    max_drop: float = 0.01
    fallback: bool = False
    force: bool = False


def export(run: RunFolder, recipe: Recipe, out: Path | None, terms: Terms, say: Callable[[str], None]) -> Path:
    """Converts, proves and writes one file.

    Args:
        run: What to convert.
        recipe: Into what.
        out: The file to write, its manifest beside it; `None` names it after model and recipe, in this folder.
        terms: What it has to hold.
        say: Gets one line a step.

    Returns:
        The file.

    Raises:
        ModelError: The recipe cannot be made of this model, or the file exists.
        ProofError: A proof fails; no file is left then.
    """
    damaged = damaged_layers(run.model)
    if damaged:
        raise ModelError(
            f"{run.path / 'inference.keras'}: layer {damaged[0]!r} holds weights that are no finite numbers; train it "
            "anew"
        )
    others = [dataclasses.replace(recipe, precision=one) for one in FALLBACKS.get((recipe.form, recipe.precision), ())]
    others = [one for one in others if not (one.nms and exporter_of(one).no_nms)]
    recipes = [recipe, *(others if terms.fallback else [])]
    for number, one in enumerate(recipes, start=1):
        target = out or Path(one.file_name(run.manifest.name, run.manifest.input.width))
        for file in (target, manifest_path(target)):
            if file.is_dir():
                raise ModelError(f"{file}: is a folder; --out names another file")
            if file.exists() and not terms.force:
                raise ModelError(f"{file}: exists already; --force replaces it, --out names another file")
        try:
            made = _made(run, one, terms, say)
        except ProofError as error:
            if number == len(recipes):
                gentler = ", ".join(other.precision for other in others)
                way_out = f"; --fallback tries {gentler}" if gentler and not terms.fallback else ""
                raise type(error)(f"{target} is not written: {error}{way_out}") from error
            say(f"{one.precision} is refused: {error}; trying {recipes[number].precision}")
            continue
        content, manifest = _sealed(made, one.form)
        write_together({target: content, manifest_path(target): manifest.to_json().encode()})
        figures = ", ".join(
            f"{name.replace('_', ' ')} {value:.3g}"
            for name, value in made.figures.items()
            if not isinstance(value, dict)
        )
        size = f"{target.stat().st_size / 1e6:.1f} MB"
        say(f"wrote {target} ({one.precision}, {size}; against the Keras model: {figures})")
        return target
    raise AssertionError("the last recipe either returns or raises")


def _made(run: RunFolder, recipe: Recipe, terms: Terms, say: Callable[[str], None]) -> Conversion:
    """Returns a proven conversion, with its whole manifest."""
    _check(run, recipe, terms)
    exporter = exporter_of(recipe)
    say(f"asking {run.path / 'inference.keras'}")
    spec = manifest_of(run.manifest, recipe).input
    given = inputs_from(terms.calibration, spec, say) if terms.calibration else []
    source = source_of(run, recipe, given or _some_of(terms, spec))
    ranges = source.ranges
    if exporter.needs_ranges and given:
        say(f"calibrating on {len(given)} photographs of {terms.calibration}")
        ranges = activation_ranges(source.model, given)
    say(f"converting to {recipe.precision} {recipe.form}")
    made = convert(source, recipe, ranges)
    manifest = dataclasses.replace(
        made.manifest,
        provenance=made.manifest.provenance | {"converted_with": _versions(recipe.form), "recipe": recipe.to_dict()},
        validation=made.manifest.validation | {"conversion": _rounded(made.figures)},
    )
    made = dataclasses.replace(made, manifest=manifest)
    if terms.photographs is not None:
        made = _measured(source, made, recipe, terms, say)
    if recipe.nms:
        say("putting decoding and suppression inside")
        made = with_suppression(source, recipe, ranges, made)
    return dataclasses.replace(made, manifest=_with_golden(made, source, recipe))


def _some_of(terms: Terms, spec: InputSpec) -> list[NDArray[np.uint8]]:
    """Returns real photographs to ask both sides about, where accuracy is measured on a folder of them."""
    folder = terms.photographs.data / terms.photographs.split if terms.photographs else None
    try:
        return inputs_from(folder, spec, lambda _: None, PHOTOGRAPHS_ASKED) if folder and folder.is_dir() else []
    except SourceError:
        return []  # its photographs lie deeper; the trainer's reader finds them


def _check(run: RunFolder, recipe: Recipe, terms: Terms) -> None:
    exporter = exporter_of(recipe)
    if exporter.needs_ranges and not run.ranges and terms.calibration is None:
        raise ModelError(
            f"{run.path / 'calibration.json'}: not found; {recipe.precision} needs it (acne-train writes it), or "
            "photographs like those it will see: --calibration DIR"
        )
    if recipe.form == "tflite" and recipe.batch != 1:
        raise ModelError(
            f"--batch {recipe.batch or 'dynamic'}: TFLite files here take one photograph; use --format onnx"
        )
    if recipe.nms and exporter.no_nms:
        raise ModelError(f"--nms: not with --precision {recipe.precision}: {exporter.no_nms}; leave one of them out")
    if recipe.nms and run.manifest.task != "detection":
        raise ModelError(f"--nms: {run.manifest.name} finds no boxes")
    if recipe.nms and recipe.batch != 1:
        raise ModelError("--nms: suppression inside the graph is made for one photograph; leave --batch out")
    if terms.photographs is not None and recipe.batch > 1:
        raise ModelError("--data: photographs are measured one by one; leave --batch out, the network is the same")


def _measured(source: Source, made: Conversion, recipe: Recipe, terms: Terms, say: Callable[[str], None]) -> Conversion:
    """Measures a file's accuracy beside that of float32, and gives it thresholds of its own.

    Raises:
        DropError: It lost more than `terms.max_drop`.
    """
    on = terms.photographs
    assert on is not None
    task, name = made.manifest.task, HEADLINE[made.manifest.task]
    with tempfile.TemporaryDirectory() as folder:
        if recipe.precision == "float32":
            exact = made
        else:
            exact = convert(source, dataclasses.replace(recipe, precision="float32"), {})
        before_file = Path(folder) / f"before.{recipe.form}"
        before_file.write_bytes(_sealed(exact, recipe.form)[0])
        say(f"measuring float32 on {on.data / on.split}")
        before = on.figures(before_file, task)
        after = before
        if recipe.precision != "float32":
            after_file = Path(folder) / f"after.{recipe.form}"
            after_file.write_bytes(_sealed(made, recipe.form)[0])
            say(f"choosing thresholds for {recipe.precision} on {on.data / 'valid'}")
            made = dataclasses.replace(
                made, manifest=dataclasses.replace(made.manifest, thresholds=on.thresholds(after_file, before_file))
            )
            after_file.write_bytes(_sealed(made, recipe.form)[0])
            say(f"measuring {recipe.precision} on {on.data / on.split}")
            after = on.figures(after_file, task)
    for figure, value in before.items():
        say(f"  {figure}: {_told(value)} before, {_told(after[figure])} after")
    if before[name] is None or after[name] is None:
        raise ModelError(f"--data {on.data}: no lesion is labelled on {on.split}, so that there is no {name}")
    drop = before[name] - after[name]
    if drop > terms.max_drop:
        raise DropError(
            f"{name} falls from {before[name]:.3f} to {after[name]:.3f} in {recipe.precision}, more than --max-drop "
            f"{terms.max_drop:g}"
        )
    measured = {"data": f"{on.data.name}/{on.split}", "before": _rounded(before), "after": _rounded(after)}
    validation = made.manifest.validation | {"accuracy": measured}
    return dataclasses.replace(made, manifest=dataclasses.replace(made.manifest, validation=validation))


def _with_golden(made: Conversion, source: Source, recipe: Recipe) -> Manifest:
    """Returns the manifest with what the file answers to the golden picture, so that any copy can be asked again."""
    picture = golden_input(source.manifest.input)
    model = Model(made.manifest, opened(made.file, recipe.form))
    kind = "lesions" if made.manifest.task == "detection" else "labels"
    golden: dict[str, Any] = {
        "input_sha256": sha256({"": picture}),
        "output_sha256": sha256(made.golden),
        kind: golden_answers(model, made.golden),
    }
    return dataclasses.replace(made.manifest, golden=golden)


def _sealed(made: Conversion, form: Format) -> tuple[bytes, Manifest]:
    """Returns the whole file with its manifest inside, and that manifest, whose digest is the file's."""
    stand_in = hashlib.sha256(made.file).hexdigest()
    put_inside = onnx_with_manifest if form == "onnx" else tflite_with_manifest
    content = put_inside(made.file, dataclasses.replace(made.manifest, digest=stand_in))
    digest = compute_digest(content, stand_in)
    return content.replace(stand_in.encode(), digest.encode()), dataclasses.replace(made.manifest, digest=digest)


def _rounded(value: Any) -> Any:
    """Returns figures to three digits: more of them would tell of the machine."""
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(one)}" for name, one in value.items())
    return "-" if value is None else f"{value:.3g}"


def _versions(form: Format) -> dict[str, str]:
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    return versions | ({"tf2onnx": tf2onnx.__version__, "onnx": onnx.__version__} if form == "onnx" else {})
