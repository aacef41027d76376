import random
import re
from collections import defaultdict

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from support.images import picture

from acne_export.tflite_export.canonical import canonicalize

KINDS = pytest.mark.parametrize("precision", ["float32", "int8", "w8a16"])


def shuffled(file, seed):
    """Returns the same graph with its tensors, buffers and (as far as may be) operations in another order."""
    chance = random.Random(seed)
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    (graph,) = model.subgraphs
    order = chance.sample(range(len(graph.tensors)), len(graph.tensors))
    number = {old: new for new, old in enumerate(order)} | {-1: -1}
    graph.tensors = [graph.tensors[old] for old in order]
    for owner in [graph, *graph.operators]:
        owner.inputs = [number[tensor] for tensor in owner.inputs]
        owner.outputs = [number[output] for output in owner.outputs]
    for signature in model.signatureDefs:
        for entry in [*signature.inputs, *signature.outputs]:
            entry.tensorIndex = number[entry.tensorIndex]
    namesakes = defaultdict(list)
    for place, one in enumerate(graph.tensors):
        if place not in {*graph.inputs, *graph.outputs}:
            namesakes[re.sub(rb"_?\d+$", b"", one.name)].append(one)
    for group in namesakes.values():
        for one, name in zip(group, chance.sample([one.name for one in group], len(group)), strict=True):
            one.name = name
    graph.outputs = chance.sample(list(graph.outputs), len(graph.outputs))
    buffers = [0, *chance.sample(range(1, len(model.buffers)), len(model.buffers) - 1)]
    place = {old: new for new, old in enumerate(buffers)}
    model.buffers = [model.buffers[old] for old in buffers]
    for user in [*graph.tensors, *model.metadata]:
        user.buffer = place[user.buffer]
    left, ready = list(graph.operators), set(graph.inputs)
    made_by_none = set(range(len(graph.tensors))) - {output for operator in left for output in operator.outputs}
    ready |= made_by_none | {-1}
    graph.operators = []
    while left:
        operator = chance.choice([tensor for tensor in left if ready.issuperset(tensor.inputs)])
        left.remove(operator)
        ready.update(operator.outputs)
        graph.operators.append(operator)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def answers(file):
    interpreter = Interpreter(model_content=file)
    return interpreter.get_signature_runner()(image=np.ascontiguousarray(picture(64, 64, 3)[None, ..., ::-1]))


@KINDS
def test_any_order_of_one_graph_becomes_the_same_bytes(exported, precision):
    file = exported("detection", "tflite", precision).read_bytes()
    settled = canonicalize(file)
    others = [shuffled(file, seed) for seed in range(3)]
    assert len({file, *others}) == 4
    assert {canonicalize(other) for other in others} == {settled}
    assert canonicalize(settled) == settled


@KINDS
@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_the_answers_stay(exported, task, precision):
    file = exported(task, "tflite", precision).read_bytes()
    expected, got = answers(file), answers(canonicalize(shuffled(file, 5)))
    assert expected.keys() == got.keys()
    for name, output in expected.items():
        assert np.array_equal(output, got[name])
