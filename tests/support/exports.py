"""Exports of the tiny runs, and a stand-in for the trainer's evaluation."""

from pathlib import Path

from acne_export.exporting import export
from acne_export.recipe import Recipe
from acne_export.run_folder import read_run_folder
from acne_runtime.load import load_model

SIZE = 64


def recipe(form="onnx", precision="float32", **changes):
    return Recipe(form, precision, **{"input": "uint8", "size": SIZE, **changes})


def make(run, wanted, target, options=None, export=export):
    return export(read_run_folder(run), wanted, target, options)


def losing(drops):
    """Stands for the trainer's command: what each precision scores, and new thresholds."""

    class Measured:
        data, split = Path("set"), "valid"

        def __init__(self):
            self.calls = []

        def thresholds(self, file, like):
            assert load_model(like).manifest.precision == "float32"
            return (0.77,)

        def metrics(self, file, task):
            manifest = load_model(file).manifest
            self.calls.append((manifest.precision, manifest.thresholds))
            return {
                "photographs": 9,
                "ap50": 0.5 - drops.get(manifest.precision, 0.0),
                "recall_by_class": {"comedones": 0.3},
            }

    return Measured()
