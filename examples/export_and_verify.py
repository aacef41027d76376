"""Exports a trained model and checks the file: `python examples/export_and_verify.py models/acne-yolov8-xs out/`."""

import sys
from pathlib import Path

from acne_export import Recipe, export, verify
from acne_runtime import load_model

run, folder = Path(sys.argv[1]), Path(sys.argv[2])
recipe = Recipe("tflite", "int8")
file = export(run, recipe, folder)  # validated against Keras before it is written, or an error and no file
print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
print(verify(file))  # runs the golden test stored in the file again: do it on the device too
print(load_model(file).manifest.classes)
