import numpy as np
import pytest

pytest.importorskip("keras")

from acne_trainer.models.cnn import build_cnn


def test_parameter_counts_are_the_papers():
    model = build_cnn(4)
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert model.get_layer("flatten").output.shape == (None, 30_976)
    assert (model.count_params(), trainable) == (4_142_052, 4_141_700)
