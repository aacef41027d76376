"""Which processors train, and how they share a step: one, several, or several machines."""

from __future__ import annotations

import os
import re
from typing import Any

import tensorflow as tf

from acne_runtime.errors import AcneEdgeError, one_line

_FORM = re.compile(r"(cpu|gpu)(?::(\d+(?:,\d+)*))?")


def make_strategy(devices: str) -> tf.distribute.Strategy:
    """Makes the wanted devices visible and returns the strategy that trains on them.

    Several devices of one machine share each batch (`MirroredStrategy`); where the environment variable `TF_CONFIG`
    names several machines, those do (`MultiWorkerMirroredStrategy`). To be called before TensorFlow does anything.

    Args:
        devices: `auto` takes all GPUs, or the CPU where there is none; `cpu`, `gpu` (all), `gpu:0,1`. `cpu:0,1` splits
            the CPU into two devices, to try out what several GPUs would do.

    Raises:
        AcneEdgeError: The text does not parse, or there is no such device.
    """
    parsed = _FORM.fullmatch(devices)
    if devices != "auto" and not parsed:
        raise AcneEdgeError(f"--devices {devices}: expected auto, cpu, gpu or gpu:0,1")
    gpus = tf.config.list_physical_devices("GPU")
    kind = parsed[1] if parsed else ("gpu" if gpus else "cpu")
    wanted = [int(index) for index in parsed[2].split(",")] if parsed and parsed[2] else None
    try:
        if kind == "cpu":
            tf.config.set_visible_devices([], "GPU")
            names = _split_cpu(max(wanted) + 1 if wanted else 1)
        else:
            if not gpus or (wanted and max(wanted) >= len(gpus)):
                there = f"GPUs 0 to {len(gpus) - 1}" if gpus else "no GPU"
                raise AcneEdgeError(
                    f"--devices {devices}: TensorFlow sees {there} here; install '.[train-gpu]' with NVIDIA's driver, "
                    f"or take --devices cpu"
                )
            visible = [gpus[index] for index in wanted] if wanted else gpus
            tf.config.set_visible_devices(visible, "GPU")
            for gpu in visible:  # else the first process takes all of the card's memory
                tf.config.experimental.set_memory_growth(gpu, True)
            names = [f"/gpu:{number}" for number in range(len(visible))]
        if "TF_CONFIG" in os.environ:
            return tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError, KeyError) as error:
        raise AcneEdgeError(f"--devices {devices}: TensorFlow refuses ({one_line(error)})") from error
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.get_strategy()


def _split_cpu(count: int) -> list[str]:
    if count > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    return [f"/cpu:{number}" for number in range(count)]


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes the run folder: of several machines the first one alone does.

    That is the one called `chief` in `TF_CONFIG`, or else the first `worker`.
    """
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_id is None:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return bool(resolver.task_type == "chief")
    return bool(resolver.task_id == 0)


def any_worker(strategy: tf.distribute.Strategy, flag: bool) -> bool:
    """Returns whether the flag is set on any of the machines that train together; all get the same answer."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_id is None:
        return flag
    flags = strategy.experimental_distribute_values_from_function(lambda _: tf.constant(float(flag)))
    return float(strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None)) > 0


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Returns the sum of a value over all devices that share the step; on one device the value itself."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def per_replica(strategy: tf.distribute.Strategy, batch: Any) -> Any:
    """Cuts a batch, a structure of arrays of equally many rows, into one part a device."""
    if strategy.num_replicas_in_sync == 1:
        return batch

    def part(context: tf.distribute.InputReplicaContext | Any) -> Any:
        count, own = strategy.num_replicas_in_sync, context.replica_id_in_sync_group

        def rows(array: Any) -> tf.Tensor:
            length = len(array)
            return tf.convert_to_tensor(array[own * length // count : (own + 1) * length // count])

        return tf.nest.map_structure(rows, batch)

    return strategy.experimental_distribute_values_from_function(part)
