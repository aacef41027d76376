import logging
import subprocess
import sys

from acne_runtime.cli.log_handler import log_to_stderr

LOGGER = logging.getLogger("acne_test.module")


def test_messages_are_printed_one_line_each(capsys):
    with log_to_stderr("acne_test"):
        LOGGER.info("%s: lost", "camera\n0")
        LOGGER.debug("detail")
    assert capsys.readouterr().err == "camera?0: lost\n"


def test_the_level_decides_what_is_printed(capsys):
    with log_to_stderr("acne_test", logging.WARNING):
        LOGGER.info("runs on cpu")
        LOGGER.warning("lost")
    assert capsys.readouterr().err == "lost\n"


def test_nothing_is_left_behind():
    logger = logging.getLogger("acne_test")
    before = logger.level, list(logger.handlers)
    with log_to_stderr("acne_test"):
        assert len(logger.handlers) == len(before[1]) + 1
    assert (logger.level, logger.handlers) == before


def test_messages_are_printed_while_native_logs_are_silenced():
    program = """
import logging, os
from acne_runtime.cli.log_handler import log_to_stderr
from acne_runtime.cli.native_logs import silence_native_logs
with log_to_stderr("acne_test"), silence_native_logs():
    os.write(2, b"native")
    logging.getLogger("acne_test").info("ours")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "ours\n"
