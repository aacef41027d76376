"""What the exporter's changes to a graph are worth: `python -m benchmarks.export.graph_passes [RUN]`.

One trained model, converted as it is, by Keras' own `model.export(format="onnx")`, and as `acne-export` converts it.
All files take turns in one run, so that a noisy machine troubles all alike.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.tools import flatbuffer_utils

from acne_export.bench.interleaved import interleaved_times
from acne_export.conversion import open_in_runtime
from acne_export.exporters import EXPORTERS
from acne_export.golden.image import golden_input
from acne_export.graph.fold import simplify
from acne_export.graph.fold_forward import fold_batch_norm_forward
from acne_export.recipe import Recipe
from acne_export.run_folder import read_run_folder
from acne_export.validation import ValidationError
from benchmarks.tables import publish

THREADS = 2


def operations(file: bytes, form: str) -> int:
    """Returns how many operations the file's graph has."""
    if form == "onnx":
        return len(onnx.load_from_string(file).graph.node)
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    return sum(len(graph.operators) for graph in model.subgraphs)


@click.command(help=__doc__)
@click.argument("run", default="models/acne-yolov8-lite0", type=click.Path(exists=True, path_type=Path))
@click.option("--runs", default=100, show_default=True)
def main(run: Path, runs: int) -> None:
    """Converts, measures and prints."""
    source = read_run_folder(run)
    moved, ranges = fold_batch_norm_forward(source.model, source.activations.ranges)
    simple = simplify(moved)
    size = source.manifest.input.width
    picture = golden_input(source.manifest.input)
    calls: dict[str, Callable[[], object]] = {}
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keras.onnx"
        source.model(picture.astype(np.float32))  # Keras exports only what was called
        source.model.export(file, format="onnx", verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(file, options)
        inputs = [given.name for given in session.get_inputs()]
        floats = {inputs[0]: picture.astype(np.float32)}
        counts["onnx float32, Keras' own"] = operations(file.read_bytes(), "onnx")
        if len(inputs) == 1:  # of a Normalization layer, tf2onnx makes further inputs
            calls["onnx float32, Keras' own"] = lambda: session.run(None, floats)
    for form, precision in (("onnx", "float32"), ("tflite", "float32"), ("tflite", "int8")):
        recipe = Recipe(form, precision, "uint8", size)
        for which, model in (("as trained", source.model), ("acne-export", simple)):
            if precision == "int8" and which == "as trained":
                continue  # its scaling and normalisation have no ranges of their own
            name = f"{form} {precision}, {which}"
            converted = EXPORTERS[form, precision].convert(model, recipe, ranges)
            counts[name] = operations(converted, form)
            try:
                calls[name] = partial(open_in_runtime(converted, form, THREADS).run, picture)
            except ValidationError as error:  # what acne-export refuses
                click.echo(f"{name}: {error}", err=True)
    taken = interleaved_times(calls, runs)
    name = source.manifest.name
    publish(
        f"graph_passes_{name}",
        [
            {
                f"{name}, {size} px": file,
                "ms": f"{np.median(taken[file]):.1f}" if file in taken else "does not run",
                "operations": count,
            }
            for file, count in counts.items()
        ],
    )


if __name__ == "__main__":
    main()
