"""Run folders as a training leaves them, made without one."""

import json

import numpy as np
from support.images import write_picture

from acne_runtime.manifest import InputSpec, Manifest, OutputSpec
from acne_runtime.result import Label, Lesion, Result, Timing
from acne_trainer.data.formats.keras_txt import read_keras_txt
from acne_trainer.evaluation.predictions import predictions_file, save_predictions
from acne_trainer.metrics.baselines import ConstantClassifier, ConstantDetector
from acne_trainer.metrics.detection_report import detection_report
from acne_trainer.metrics.multilabel import multilabel_report

CLASSES = ("comedones", "nodules", "papules", "pustules")
SIZE = 96
THRESHOLD = 0.5
HISTORY = {
    "detection": (
        "epoch,loss,box_loss,class_loss,val_ap50\n1.0,9.5,0.75,6.5,\n2.0,8.5,0.5,5.5,0.25\n3.0,8.0,0.25,5.0,0.125\n"
    ),
    "multilabel": "epoch,loss,val_loss,val_argmax_agreement\n1.0,1.5,0.75,0.5\n2.0,1.0,0.5,0.75\n",
}
MARKS = {
    "train": [[0, 1], [1], [2, 3, 3], [0], [3]],
    "valid": [[0], [1, 2], [3], [2, 2]],
    "test": [[0, 1], [1, 2], [3], [2], [0, 3, 3]],
}
"""The types of the lesions on each photograph."""


def write_data(folder, names="{}.jpg"):
    """Writes a labelled set; `names` makes a file's name of a number."""
    for split, marks in MARKS.items():
        (folder / split).mkdir(parents=True)
        (folder / split / "_classes.txt").write_text("\n".join(CLASSES))
        lines = []
        for number, shown in enumerate(marks):
            name = names.format(number)
            write_picture(folder / split / name, SIZE, SIZE, seed=number)
            boxes = (f"{10 + 20 * i},10,{25 + 20 * i},30,{one}" for i, one in enumerate(shown))
            lines.append(" ".join([name, *boxes]))
        (folder / split / "_annotations.txt").write_text("\n".join(lines))
    return folder


def manifest(task):
    detector = {
        "outputs": (OutputSpec("box_8", "box", 8), OutputSpec("score_8", "score", 8)),
        "bins": 16,
    }
    return Manifest(
        name="tiny-detector" if task == "detection" else "tiny-cnn",
        task=task,
        classes=CLASSES,
        input=InputSpec("image", SIZE, SIZE, "letterbox"),
        thresholds=(THRESHOLD,) * (1 if task == "detection" else len(CLASSES)),
        provenance={"data": "tiny", "train_fingerprint": "0a1b", "train_photographs": 5, "parameters": 224},
        **(detector if task == "detection" else {"outputs": (OutputSpec("label", "label"),)}),
    )


def answers(task, samples):
    """Each marked lesion but the first is found; one comedone too many stands on every photograph."""
    results = []
    for number, sample in enumerate(samples):
        lesions = labels = None
        if task == "detection":
            pairs = list(zip(sample.classes.tolist(), sample.boxes.tolist(), strict=True))[number == 0 :]
            lesions = [_lesion(CLASSES[one], 0.9 - 0.05 * number, tuple(box)) for one, box in pairs]
            lesions += [
                _lesion("comedones", 0.6, (60.0, 60.0, 80.0, 80.0)),
                _lesion("nodules", 0.005, (1.0, 2.0, 9.0, 9.0)),
            ]
            lesions = tuple(sorted(lesions, key=lambda lesion: -lesion.score))
        else:
            scores = np.clip(0.8 * sample.presence(len(CLASSES)) + 0.05 * number + [0.3, 0.02, 0.03, 0.04], 0, 1)
            scores = scores.tolist()
            labels = tuple(Label(one, score, score >= THRESHOLD) for one, score in zip(CLASSES, scores, strict=True))
        name = manifest(task).name
        results.append(
            Result(sample.path.name, 0, 0.0, SIZE, SIZE, name, CLASSES, lesions, labels, Timing(0.5, 1.5, 0.25))
        )
    return results


def _lesion(name, score, box):
    """A lesion that can be of one type only."""
    return Lesion.of_types(CLASSES, score, box, tuple(score * (name == one) for one in CLASSES))


def metrics(task, train, data, results):
    model = manifest(task)
    if task == "detection":
        constant = ConstantDetector.of(train.samples, len(CLASSES))
        return detection_report(data.samples, results, CLASSES, model.thresholds, model.input, constant)
    truth = np.stack([sample.presence(len(CLASSES)) for sample in data.samples])
    scores = np.array([[label.score for label in result.labels] for result in results], np.float32)
    prevalence = np.stack([sample.presence(len(CLASSES)) for sample in train.samples]).mean(axis=0)
    names = [sample.path.name for sample in data.samples]
    baseline = ConstantClassifier(prevalence, (0, 1, 0, 0))
    return multilabel_report(names, truth, scores, CLASSES, model.thresholds, baseline)


def write_finished_run(folder, task, data):
    """Writes the run folder of a model that was trained on `data`."""
    folder.mkdir(parents=True)
    train = read_keras_txt(data / "train")
    measured = {}
    for split in ("valid", "test"):
        part = read_keras_txt(data / split)
        results = answers(task, part.samples)
        save_predictions(results, predictions_file(folder, split))
        measured[split] = metrics(task, train, part, results)
    (folder / "metrics.json").write_text(json.dumps(measured).replace("NaN", "null"))
    (folder / "manifest.json").write_text(manifest(task).to_json())
    (folder / "history.csv").write_text(HISTORY[task])
    model = "yolov8-xs" if task == "detection" else "cnn"
    (folder / "config.toml").write_text(f'model = "{model}"\ndata = {json.dumps(str(data))}\n')
    return folder
