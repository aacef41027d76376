"""Exports a trained model and checks the file: `python examples/export_and_verify.py RUN_FOLDER model.tflite`."""

import sys
from pathlib import Path

from acne_export import Recipe, export, verify
from acne_export.run_folder import read_run_folder
from acne_runtime import load_model

run = read_run_folder(Path(sys.argv[1]))
recipe = Recipe("tflite", "int8", input="uint8", size=run.manifest.input.width)
file = export(run, recipe, Path(sys.argv[2]))  # validated against Keras before it is written, or an error and no file
print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
for line in verify(file):  # re-runs the golden test stored in the file: do it on the device too
    print(line)
print(load_model(file).manifest.classes)
