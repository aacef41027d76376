"""Trains the detector for some steps on the devices of its first argument and prints what came of it as JSON.

Run by test_distributed.py in processes of their own, since TensorFlow's devices are chosen once a process.
"""

import dataclasses
import json
import sys
from pathlib import Path

import keras
import numpy as np
from support import tiny_models

from acne_trainer.config import DEFAULTS
from acne_trainer.data.formats.keras_txt import read_keras_txt
from acne_trainer.data.mixture import LabelledSet
from acne_trainer.distributed import make_strategy
from acne_trainer.tasks import detection
from acne_trainer.training.loop import Trainer


def small_detector(strategy):
    """A detector of few layers: it is tracing that takes the time, in each process again."""
    network = tiny_models.tiny_trainable_detector()
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = strategy.num_replicas_in_sync > 1
    return network


def main(devices: str, data: Path, run: Path) -> None:
    strategy = make_strategy(devices)
    detection.build_detector = lambda *_: small_detector(strategy)
    settings = dataclasses.replace(
        DEFAULTS["yolov8-xs"], epochs=2, batch_size=4, input_size=64, crop_size=64, crops_per_photo=1, whole_every=3
    )
    keras.utils.set_random_seed(settings.seed)
    photographs = read_keras_txt(data)
    with strategy.scope():
        work = detection.DetectionTask(settings, (LabelledSet.alone(photographs, photographs),))
        loop = Trainer(work, settings, run)
        network = loop.fit()

    def sums(variables):
        return [float(np.abs(variable.numpy()).sum()) for variable in variables]

    # Adam's moments are averages of the gradients, whose size the steps themselves do not show.
    answer = {
        "replicas": strategy.num_replicas_in_sync,
        "losses": [row["loss"] for row in loop.history],
        "weights": sums(network.variables),
        "moments": sums(loop.optimizer.variables[2:]),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
