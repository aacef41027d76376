"""Exports a trained model and checks the file: `python examples/export_and_verify.py RUN_FOLDER model.tflite`."""

import sys
from pathlib import Path

from acne_export import Recipe, export, verify
from acne_runtime import load_model

run, target = map(Path, sys.argv[1:3])
# The file is validated against Keras before it is written.
file = export(run, Recipe("tflite", "int8"), target)
print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
for line in verify(file):  # re-runs the golden test stored in the file: do it on the device too
    print(line)
print(load_model(file).manifest.classes)
