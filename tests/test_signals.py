"""Ctrl-C, SIGTERM and closed streams: an exit status and a line, at any moment."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
TOLD = {signal.SIGINT: "Stopped.", signal.SIGTERM: "Terminated."}

# As a shell in the foreground starts programs, whoever runs the tests.
HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")


def program(code, *argv, **options):
    return subprocess.run(
        [sys.executable, "-c", HEARD + code, *argv],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.mark.parametrize("number", STATUS)
@pytest.mark.parametrize(
    "moment",
    [
        "exec(f'import importing')",  # amid an import
        # Where it can't be raised: what a destructor raises is lost.
        "(type('D', (), {'__del__': lambda self: signal.raise_signal(NUMBER)})(), None)[1]",
        # Where whoever is interrupted takes all exceptions for his own.
        "exec('try: signal.raise_signal(NUMBER)\\nexcept BaseException: pass')",
        # While the process's own stderr is set aside.
        "exec('with startup._stderr_set_aside(): signal.raise_signal(NUMBER)')",
    ],
)
def test_one_line_and_its_status(tmp_path, number, moment):
    raising = f"import signal\nsignal.raise_signal({int(number)})\n"
    (tmp_path / "importing.py").write_text(raising)
    code = (
        f"import sys; sys.path.append({str(tmp_path)!r}); from mvae_tf import startup; "
        "from mvae_tf.commands import signals; signals.hear(); "
        f"NUMBER = {int(number)}; {moment}; print('went on')"
    )
    done = program(code, "info")
    assert (done.returncode, done.stdout) == (STATUS[number], "")
    assert done.stderr == f"mvae-tf info: {TOLD[number]}\n"


def test_what_is_half_written_is_put_away(tmp_path):
    code = (
        "import pathlib; from mvae_tf import files; from mvae_tf.commands import signals; "
        f"signals.hear(); exec('''with files.aside(pathlib.Path({str(tmp_path / 'x')!r})) as file:"
        "\n file.write_text('half'); signal.raise_signal(signal.SIGTERM)''')"
    )
    assert program(code).returncode == 143
    assert list(tmp_path.iterdir()) == []


def test_what_a_shell_ignores_stays_ignored():
    code = (
        "signal.signal(signal.SIGINT, signal.SIG_IGN); from mvae_tf.commands import signals; "
        "signals.hear(); signal.raise_signal(signal.SIGINT); print('went on')"
    )
    assert program(code).stdout == "went on\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS)
def test_at_any_moment(tmp_path, number):
    """While modules, TensorFlow and data are loaded, the model is built and trained."""
    chances = random.Random(int(number))
    for attempt in range(6):
        command = ["train", "--data=digits", "--epochs=50", f"--output_dir={tmp_path / 'run'}"]
        command += ["--resume"] * (tmp_path / "run" / "settings.json").exists()
        code = f"{HEARD}from mvae_tf.commands import signals; signals.hear(); print(flush=True); "
        code += "from mvae_tf.__main__ import main; sys.exit(main())"
        child = subprocess.Popen(
            [sys.executable, "-c", f"import sys; {code}", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with child:
            child.stdout.readline()
            time.sleep(chances.uniform(0, 2.5) * attempt)
            child.send_signal(number)
            _, err = child.communicate(timeout=120)
        assert child.returncode == STATUS[number], err
        assert "Traceback" not in err and TOLD[number] in err


# Streams ------------------------------------------------------------------------------------------


def in_shell(text):
    command = f"{sys.executable} -m mvae_tf {text}"
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False)


def test_a_closed_stdout_is_refused_before_any_work():
    for argv in ("--help", "info --model=x", "train --data=digits"):
        done = in_shell(f"{argv} >&-")
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("mvae-tf: Expected stdout to be open")


def test_a_closed_stderr_loses_the_messages_alone(tmp_path):
    done = in_shell("--version 2>&- <&-")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("mvae-tf ")
    assert in_shell(f"info --model={tmp_path} 2>&-").returncode == 1
    assert in_shell("--version >&- 2>&-").returncode == 1


def test_a_file_never_takes_the_place_of_a_closed_stream(tmp_path):
    """The next file to be opened would be stderr to native code."""
    code = (
        "import os; [os.close(each) for each in (0, 1, 2)]; sys.stdout = sys.stderr = None; "
        "from mvae_tf.commands.support import streams; streams.prepare(); "
        f"file = open({str(tmp_path / 'x')!r}, 'w'); file.write(str(file.fileno())); file.close()"
    )
    program(f"import sys; {code}")
    assert int((tmp_path / "x").read_text()) > 2


@pytest.mark.skipif(sys.platform != "linux", reason="names files by any bytes as Linux does")
def test_a_path_of_any_bytes_can_be_told(tmp_path):
    path = os.fsencode(tmp_path) + b"/r\xff"
    done = subprocess.run(
        [sys.executable, "-m", "mvae_tf", "info", b"--model=" + path],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1 and b"Traceback" not in done.stderr and b"r\\udcff" in done.stderr
