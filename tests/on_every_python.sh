#!/usr/bin/env bash
# Runs the tests on Python 3.10 to 3.13: runtime and monitor on each, trainer and exporter where TensorFlow
# installs. Takes interpreters from the PATH, or from pyenv. A version that is not there is named and counts as failed.
set -u
cd "$(dirname "$0")/.."
failed=0
for version in 3.10 3.11 3.12 3.13; do
    # pyenv's shim is on the PATH for versions that are not switched on too, and then fails.
    python=python$version
    "$python" --version >/dev/null 2>&1 ||
        python=$(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/$version.*/bin/python 2>/dev/null | tail -n 1)
    if ! "$python" --version >/dev/null 2>&1; then
        echo "Python $version: not installed"
        failed=1
        continue
    fi
    venv=.venv-$version
    "$python" -m venv "$venv"
    pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
    if [ "$version" != 3.10 ] && $pip --requirement dev.lock && $pip --no-deps --editable .; then
        what="all but the slow tests"
        result=$("$venv/bin/python" -m pytest -q --numprocesses 2 --dist loadfile -m "not slow" 2>&1 | tail -n 1)
    else
        what="the tests of runtime and monitor"
        $pip --editable '.[onnx,litert,monitor,heif]' pytest hypothesis fhir.resources
        result=$("$venv/bin/python" -m pytest -q -m "not slow" tests/runtime tests/monitor tests/fuzz 2>&1 | tail -n 1)
    fi
    echo "Python $version, $what: $result"
    case "$result" in *failed* | *error*) failed=1 ;; esac
done
exit $failed
