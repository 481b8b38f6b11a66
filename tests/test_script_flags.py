"""What scripts of reproduce/ say of flags, folders and results that they can't use; by Table I."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import table1

TABLE1 = Path(table1.__file__)


def script(*arguments):
    return subprocess.run(
        [sys.executable, TABLE1, *arguments], capture_output=True, text=True, check=False
    )


def test_only_print_without_a_result_says_what_to_do(tmp_path):
    finished = script("--only_print", f"--output_dir={tmp_path}")
    assert finished.returncode == 1
    assert "Received: none; leave out --only_print" in finished.stderr


def test_an_output_folder_that_cannot_be_written_is_found_out_first(tmp_path):
    (tmp_path / "file").write_text("")
    finished = script("--preset=quick", f"--output_dir={tmp_path / 'file'}")
    assert finished.returncode == 1
    assert "folder that can be written" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_nothing_is_added_to_nothing(tmp_path):
    finished = script("--add", "--preset=quick", f"--output_dir={tmp_path}")
    assert finished.returncode == 1
    assert "Received: none; leave out --add" in finished.stderr


@pytest.mark.parametrize("flag", ["--add", "--only_print"])
@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_result_is_not_told_as_none(content, flag, tmp_path):
    """Made anew it would be replaced, with the seeds of days."""
    (tmp_path / "table1.json").write_text(content)
    finished = script(flag, "--preset=quick", f"--output_dir={tmp_path}")
    assert finished.returncode == 1 and "leave out" not in finished.stderr
    assert "Received: one that is damaged, or of another version" in finished.stderr
    assert (tmp_path / "table1.json").read_text() == content


@pytest.mark.parametrize("name", ["fig3_latents", "search_mnist", "all"])
def test_what_does_not_grow_refuses_additions(name, tmp_path):
    finished = subprocess.run(
        [sys.executable, TABLE1.with_name(f"{name}.py"), "--add", f"--output_dir={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode != 0 and "Expected --add with" in finished.stdout + finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", ["9", "", "7,8,7"])
def test_rows_are_those_of_the_table(rows, tmp_path):
    finished = script("--preset=quick", f"--rows={rows}", f"--output_dir={tmp_path}")
    assert finished.returncode != 0
    assert (
        "Expected --rows among 7, 8, 10, 1, cosine:10, best:10, best:1, searched:1"
        in finished.stderr + finished.stdout
    )


def test_words_that_are_no_flags_are_refused(tmp_path):
    finished = script("--preset=quick", "only_print", f"--output_dir={tmp_path}")
    told = finished.stderr + finished.stdout
    assert finished.returncode != 0 and "Expected flags alone. Received: only_print." in told


@pytest.mark.parametrize("seeds", ["0,x", "0,1,0", "", "99999999999"])
def test_seeds_must_be_integers_each_of_them_once(seeds, tmp_path):
    expected = f"Expected --seeds as 32-bit integers, each once. Received: {seeds or 'none'}."
    for more in ([], ["--only_print"]):
        finished = script("--preset=quick", f"--seeds={seeds}", f"--output_dir={tmp_path}", *more)
        assert finished.returncode != 0 and expected in finished.stderr + finished.stdout


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def buffering(request, monkeypatch):
    """What is buffered fails where it is flushed, as Python ends if not before."""
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


def with_stdout(stdout, *arguments, name="all", **settings):
    """A script whose stdout is this; --only_print of all of them is more than a pipe takes."""
    command = [sys.executable, TABLE1.with_name(f"{name}.py"), *arguments]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, **settings
    )


@pytest.fixture
def unread():
    """A pipe that nobody reads, as `head` leaves it."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def full():
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, a full disk")
    with open("/dev/full", "w") as stdout:
        yield stdout


@pytest.mark.parametrize("name", ["all", "table1"])
def test_what_is_printed_can_be_read_in_part(name, unread, buffering):
    finished = with_stdout(unread, "--only_print", name=name)
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize("name", ["all", "table1"])
def test_work_that_nobody_reads_of_any_more_does_not_pass_for_done(
    name, unread, buffering, tmp_path
):
    finished = with_stdout(unread, "--preset=quick", f"--output_dir={tmp_path}", name=name)
    told = finished.stderr.splitlines()[-1]
    assert finished.returncode == 1 and "Traceback" not in finished.stderr
    assert told == "Stopped, as nobody reads stdout any more. The same command goes on."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["all", "table1"])
def test_a_full_stdout_is_told_in_a_line(name, full, buffering):
    finished = with_stdout(full, "--only_print", name=name)
    assert finished.returncode == 1
    assert finished.stderr == f"{name}: [Errno 28] No space left on device\n"


def test_help_can_be_read_in_part_and_a_disk_be_full_of_it(unread, full, buffering):
    finished = with_stdout(unread, "--help", name="table1")
    assert finished.stderr == ""
    finished = with_stdout(full, "--help", name="table1")
    assert finished.stderr == "table1: [Errno 28] No space left on device\n"


def test_a_closed_stdout_is_refused():
    finished = with_stdout(None, "--only_print", preexec_fn=lambda: os.close(1))
    assert finished.returncode == 1 and len(finished.stderr.splitlines()) == 1
    assert finished.stderr.startswith("Expected stdout to be open")


def ended(body, stdout):
    """How a script of this body ends, and what it says."""
    code = f"""
import sys
sys.path.insert(0, {str(TABLE1.parent)!r})
sys.argv = ["own.py"]
from support import scripts
def main(_):
    {body}
scripts.run_app(main)
"""
    finished = subprocess.run(
        [sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )
    return finished.returncode, finished.stderr


def test_what_was_made_is_made_whoever_reads_of_it(unread, buffering):
    assert ended("scripts.show('a result that is written')", unread) == (0, "")


@pytest.mark.parametrize("name", ["unread", "full"])
def test_an_error_is_told_whatever_became_of_stdout(name, request, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", "")  # printed, and not yet written
    stdout = request.getfixturevalue(name)
    status, told = ended("print('a line'); raise RuntimeError('a mistake')", stdout)
    assert status == 1 and told.splitlines()[-1] == "RuntimeError: a mistake"
    assert ended("print('a line'); sys.exit('Failed.')", stdout) == (1, "Failed.\n")


def test_a_stdout_of_few_characters_has_others_escaped(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    finished = script("--only_print")
    assert finished.returncode == 0 and r"\xb1" in finished.stdout and not finished.stderr


def test_a_stdout_may_be_a_notebook_s():
    code = f"""
import contextlib, io, runpy, sys
sys.argv = [{str(TABLE1)!r}, "--only_print"]
sys.path.insert(0, {str(TABLE1.parent)!r})
with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):
    runpy.run_path(sys.argv[0], run_name="__main__")
print(told.getvalue()[:9])
"""
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.stdout == "# Table I\n", finished.stderr
