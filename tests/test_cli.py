"""What the command line accepts, refuses and hands on."""

import importlib.metadata
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import minigen
from minigen import cli
from minigen._support import blas


def run(*arguments):
    """The exit code of a command line run in this process."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def run_apart(folder, *arguments, **environment):
    """The same in a process of its own, in a folder that is not the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "minigen", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture
def lessons(tmp_path, monkeypatch):
    """A folder of lessons that stands in for the real one; returns a function that writes one."""
    folder = tmp_path / "lessons"
    folder.mkdir()
    (folder / "beside.py").write_text("word = 'found'\n")
    monkeypatch.setattr(cli, "LESSON_FOLDERS", (tmp_path / "missing", folder))

    def write(name, text):
        (folder / name).write_text(text, encoding="utf-8")

    return write


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], ["frobnicate", "tour", "doctor"]),
        (["tour", "extra"], ["extra"]),
        (["tour", "--sed", "1"], ["--sed"]),
        (["tour", "--seed", "-1"], ["--seed", "'-1'", "whole number"]),
        (["--seed", "-1", "tour"], ["--seed", "'-1'"]),
        (["tour", "--seed", "1.5"], ["--seed", "'1.5'"]),
        (["doctor", "--seed", "x"], ["--seed", "'x'"]),
        (["tour", "--seed"], ["--seed"]),
        (["tour", "--out"], ["--out"]),
        (["tour", "--out", __file__], ["--out", "test_cli.py", "it is a file"]),
        (["tour", "--out", f"{__file__}/below"], ["--out", "below", "cannot write"]),
        (["lesson", "4", "--out", __file__], ["--out", "it is a file"]),
        (["lesson"], ["NUMBER"]),
        (["lesson", "99"], ["no lesson '99'", "3"]),
        (["lesson", "four"], ["no lesson 'four'"]),
        (["lesson", "-3"], ["-3"]),
        (["lesson", ""], ["no lesson ''"]),
        (["lesson", "3", "4"], ["4"]),
    ],
    ids=" ".join,
)
def test_bad_arguments_get_one_line_and_code_2(arguments, words, capsys):
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("minigen") and err.count("\n") == 1 and err.endswith("\n")
    for word in words:
        assert word in err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_is_refused(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert run("tour", "--out", tmp_path) == 2
    assert "Permission denied" in capsys.readouterr().err


def test_no_arguments_print_a_short_help(capsys):
    assert run() == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert all(
        name in out for name in ("tour", "lessons", "lesson NUMBER", "doctor", "--seed", "--out", "--quick", "--show")
    )
    assert len(out.splitlines()) < 24


@pytest.mark.parametrize("arguments", [["--help"], ["tour", "--help"], ["lesson", "-h"], ["--version"]], ids=" ".join)
def test_help_and_version_end_well(arguments, capsys):
    assert run(*arguments) == 0
    assert capsys.readouterr().err == ""


def test_version_and_list_of_lessons_start_fast(tmp_path):
    code = (
        "import sys; from minigen import cli; cli.main(['lessons'])\n"
        "try: cli.main(['--version'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'numba', 'matplotlib', 'tqdm'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith(f"minigen {minigen.__version__}\n")


def test_lessons_are_listed_by_number_title_and_one_line(lessons, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    lessons(
        "02_second.py",
        "# %% [markdown]\n# # 2. Title: with ÷ signs\n#\n# *Part 3: second things. 45 minutes.*\n#\n"
        "# **The question.** Do\n# this and that and\n"
        "# much more besides, and\n# a little more.\n#\n# Not this.\n",
    )
    lessons("01_plain_one.py", "x = 1\n")
    assert run("lessons") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == " 1  plain one"
    assert lines[2:4] == ["", "Part 3: second things"]
    assert lines[4].split("  ") == [" 2", "Title: with ÷ signs", *[""] * 14, " 45 min"]
    assert lines[5] == "    Do this and that and much more besides, and a little ..."
    assert max(map(len, lines[:6])) <= 60
    assert "minigen lesson NUMBER" in lines[-1]


def test_real_lessons_have_parts_titles_minutes_and_a_question(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run("lessons") == 0
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("Part 1: a motion") + 1
    assert lines[first].startswith(" 1  The pendulum: a generator written by a physicist  ")
    assert lines[first].endswith(" min") and len(lines[first]) == 80
    assert lines[first + 1].startswith("    How does an equation become a curve?")


def test_no_lessons_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cli, "LESSON_FOLDERS", (tmp_path / "missing",))
    assert run("lessons") == 0
    assert "There are none" in capsys.readouterr().out
    assert run("lesson", "1") == 2
    assert "none at all" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "handed_on"),
    [
        (["lesson", "7"], "--out figures --seed 0"),
        (["lesson", "07", "--quick", "--show"], "--out figures --seed 0 --quick --show"),
        (["--quick", "--seed", "5", "lesson", "7"], "--out figures --seed 5 --quick"),
        (["--seed", "5", "lesson", "7", "--seed", "6", "--out", "a/b"], "--out a/b --seed 6"),
        (["lesson", "7", "--json", "kept.json"], "--out figures --seed 0 --json kept.json"),
    ],
    ids=" ".join,
)
def test_lesson_gets_its_options_and_its_neighbours(arguments, handed_on, lessons, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lessons("07_echo.py", "import sys, beside\nprint(__name__, beside.word, *sys.argv[1:])\n")
    before = sys.argv, sys.path[:]
    assert run(*arguments) == 0
    assert capsys.readouterr().out == f"__main__ found {handed_on}\n"
    assert (sys.argv, sys.path) == before
    sys.modules.pop("beside")


def test_lesson_decides_the_exit_code(lessons, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lessons("01_fails.py", "import sys\nsys.exit('2 claim(s) failed')\n")
    lessons("02_code.py", "import sys\nsys.exit(3)\n")
    lessons("03_stopped.py", "raise KeyboardInterrupt\n")
    lessons("04_wrapped.py", "raise RuntimeError('inside a class') from KeyboardInterrupt()\n")
    assert run("lesson", "1") == "2 claim(s) failed"  # what Python prints before it ends with code 1
    assert run("lesson", "2") == 3
    assert run("lesson", "3") == run("lesson", "4") == 130
    assert capsys.readouterr().err == "minigen: interrupted\n" * 2


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_interrupt_is_one_line_and_code_130(tmp_path):
    folder = tmp_path / "lessons"
    folder.mkdir()
    (folder / "01_slow.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    code = (
        "import sys; from pathlib import Path; from minigen import cli\n"
        f"cli.LESSON_FOLDERS = [Path({str(folder)!r})]\n"
        "sys.exit(cli.main(['lesson', '1']))"
    )
    process = start(tmp_path, code)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "minigen: interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("arguments", [["-m", "minigen", "lessons"], ["minigen", "lessons"]])
def test_interrupt_while_the_command_is_imported_is_one_line_too(arguments, tmp_path):
    process = import_slowly(tmp_path, arguments)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "minigen: interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("arguments", [["-c", "import minigen"], ["own", "minigen"], ["-m", "own", "minigen.npz"]])
def test_programs_of_ones_own_import_minigen_with_their_ctrl_c_untouched(arguments, tmp_path):
    process = import_slowly(tmp_path, arguments)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")


def import_slowly(folder, arguments):
    """A process in the middle of importing minigen: a NumPy that takes a minute to load."""
    (folder / "numpy.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    for name in ("minigen", "own", "own.py"):  # `minigen` as an installation makes it
        (folder / name).write_text("from minigen.cli import program\nprogram()\n")
    if "-" not in arguments[0]:
        arguments = [str(folder / arguments[0]), *arguments[1:]]
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{CHECKOUT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_nothing_is_said_after_the_interrupt(lesson_program):
    """Neither by what a library left half done, nor by Python, which ends by the signal after code made from text."""
    work = "class Half:\n    def __del__(self):\n        1 / 0\nimport numpy\nnumpy.half_done = Half()\n"
    process = lesson_program(work + "exec('raise KeyboardInterrupt')\n")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "minigen: interrupted\n")


@pytest.fixture
def lesson_program(tmp_path):
    """Starts the process of `minigen lesson 1`, the text of the lesson given."""

    def begin(text):
        (tmp_path / "01_lesson.py").write_text(text)
        code = f"import sys; from pathlib import Path; from minigen import cli\nsys.argv[:] = {['', 'lesson', '1']}\n"
        return start(tmp_path, f"{code}cli.LESSON_FOLDERS = [Path({str(tmp_path)!r})]\ncli.program()\n")

    return begin


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor")
@pytest.mark.parametrize("command", [["lessons"], [], ["--help"], ["--version"], ["doctor", "--quick"], ["nonsense"]])
def test_a_closed_output_is_no_fault(command, tmp_path):
    for streams in ([1], [2], [1, 2]):
        process = subprocess.run(
            [sys.executable, "-m", "minigen", *command],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            encoding="utf-8",
            preexec_fn=lambda closed=streams: [os.close(each) for each in closed],
        )
        assert process.returncode == (2 if command == ["nonsense"] else 0), process.stderr
        assert "Traceback" not in process.stderr


CHECKOUT = Path(__file__).parents[1]
A_LESSON = """
import time
from lesson import Lesson
lesson = Lesson("01_long")
import numpy as np
from minigen import models
print("ready", flush=True)
x = np.random.default_rng(0).standard_normal((500, 2))
{work}
lesson.claim("the lesson went on", 1, exactly=1)
lesson.end()
"""
TRAININGS = {
    "fit": "models.Regressor((16,), steps=10**6).fit(x, x[:, 0], rng=lesson.rng, progress=False)",
    "GAN": "models.GAN(2, (16,), steps=10**6).fit(x, rng=lesson.rng, progress=False)",
    "energy": "models.EnergyModel((16,), steps=10**6).fit(x, rng=lesson.rng, progress=False)",
}


def start(folder, code, **settings):
    """A process that hears Ctrl-C even if this one was started in the background, where Ctrl-C is ignored."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{code}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'lessons'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        **settings,
    )


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("how", ["minigen lesson", "python lessons/NN.py"])
@pytest.mark.parametrize("work", TRAININGS)
def test_interrupt_during_a_training_ends_the_lesson(how, work, tmp_path):
    """One line, code 130, and at once: the training would go on for an hour, the lesson after it in no time."""
    path = tmp_path / "01_long.py"
    path.write_text(A_LESSON.format(work=TRAININGS[work]))
    if how == "minigen lesson":
        code = f"from pathlib import Path; from minigen import cli; cli.LESSON_FOLDERS = [Path({str(tmp_path)!r})]\n"
        code += "import sys; sys.exit(cli.main(['lesson', '1']))"
    else:
        code = f"import runpy, sys; sys.argv = ['x']; runpy.run_path({str(path)!r}, run_name='__main__')"
    process = start(tmp_path, code)
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err, out) == (130, "minigen: interrupted\n", "")


def test_a_users_own_training_keeps_what_it_learned(tmp_path):
    """The other side: in a program of one's own the first Ctrl-C ends the training, and the program goes on."""
    code = "import numpy as np; from minigen import models\nx = np.random.default_rng(0).standard_normal((500, 2))\n"
    code += "print('ready', flush=True)\n"
    code += (
        "model = models.Regressor((16,), steps=10**6).fit(x, x[:, 0], rng=np.random.default_rng(1), progress=False)\n"
    )
    code += "print(model.history_.stopped)"
    process = start(tmp_path, code)
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("interrupt\n", "")


QUICK_LESSON = """
from lesson import Lesson
lesson = Lesson("01_quick")
import matplotlib.pyplot as plt
{work}
print("θ₀ is printed")
lesson.save(plt.figure())
lesson.claim("it went on, ≥ 1", 1, above=0)
lesson.end()
"""


def script(tmp_path, *arguments, work="", stdout=subprocess.PIPE, **environment):
    """A quick lesson run as `python 01_quick.py`."""
    path = tmp_path / "01_quick.py"
    path.write_text(QUICK_LESSON.format(work=work), encoding="utf-8")
    return subprocess.run(
        [sys.executable, path, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'lessons'}"} | environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
    )


@pytest.mark.parametrize("place", ["a file", "below a file", "nowhere"])
def test_a_script_says_at_the_start_where_it_cannot_write(place, tmp_path):
    (tmp_path / "file").touch()
    out = {"a file": "file", "below a file": "file/below", "nowhere": "/proc/none/x"}[place]
    ran = script(tmp_path, "--out", out)
    assert ran.returncode == 2 and ran.stdout == b""
    assert (
        ran.stderr.count(b"\n") == 1
        and b"argument --out: cannot write into" in ran.stderr
        and out.encode() in ran.stderr
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_script_prints_to_a_terminal_of_any_encoding(encoding, tmp_path):
    ran = script(tmp_path, "--out", "there", PYTHONIOENCODING=encoding)
    assert ran.returncode == 0, ran.stderr
    assert "is printed" in ran.stdout.decode(encoding) and (tmp_path / "there" / "01_quick.png").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["lessons"], ["--help"], ["--version"], []], ids=" ".join)
def test_a_full_disk_is_one_line_and_code_1(arguments, tmp_path):
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "minigen", *arguments],
            cwd=CHECKOUT,
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=60,
        )
    assert (ran.returncode, ran.stderr) == (1, "minigen: cannot write the output: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_script_whose_output_goes_to_a_full_disk_ends_with_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        ran = script(tmp_path, stdout=full)
    assert (ran.returncode, ran.stderr) == (1, b"minigen: cannot write the output: No space left on device\n")


NO_ROOM = """
import minigen._support.atomic as atomic, os
def full(file): raise OSError(28, "No space left on device")
os.fsync = full
"""


def test_a_figure_that_cannot_be_saved_costs_one_line_and_not_the_claims(tmp_path):
    ran = script(tmp_path, "--out", "there", work=NO_ROOM)
    out, err = ran.stdout.decode(), ran.stderr.decode()
    assert ran.returncode == 1 and "CLAIM holds" in out
    assert err.splitlines()[0] == f"figure: cannot write {'there/01_quick.png'!r}: No space left on device"
    assert err.count("\n") == 2 and "1 file(s)" in err
    assert not list((tmp_path / "there").iterdir())


def test_a_folder_without_room_is_found_before_the_work(monkeypatch, tmp_path, capsys):
    def full(**settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert run("tour", "--out", tmp_path) == 2
    assert "No space left on device; give another folder" in capsys.readouterr().err


def test_a_tour_that_cannot_be_saved_prints_its_scoreboard_all_the_same(monkeypatch, tmp_path, capsys):
    from minigen import tour

    scores = {"factors": {}, "rows": [], "notes": ["a note"], "seconds": 1.0}

    def pretend(out, **options):
        raise tour.NotSaved(OSError(28, "No space left on device", "overview.png"), scores)

    monkeypatch.setattr(tour, "run", pretend)
    assert run("tour", "--out", tmp_path) == 1
    out, err = capsys.readouterr()
    assert "a note" in out and err == "minigen: cannot write 'overview.png': No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="closes a pipe")
def test_reader_that_leaves_early_causes_no_traceback(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "minigen", "lessons"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(timeout=30)


def test_tour_gets_its_options(monkeypatch, tmp_path, capsys):
    from minigen import tour

    calls = []

    def pretend(out, **options):
        calls.append((out, options))
        raise KeyboardInterrupt

    monkeypatch.setattr(tour, "run", pretend)
    monkeypatch.chdir(tmp_path)
    assert run("tour", "--seed", "7", "--quick", "--out", "there") == 130
    assert run("tour") == 130
    assert [(str(out), options) for out, options in calls] == [
        ("there", {"seed": 7, "quick": True}),
        ("tour", {"seed": 0, "quick": False}),
    ]
    assert capsys.readouterr().err == "minigen: interrupted\n" * 2


def test_show_without_a_display_says_so(monkeypatch, tmp_path, capsys):
    import matplotlib

    from minigen import tour

    matplotlib.use("agg")
    scores = {"factors": {}, "rows": [], "notes": [], "seconds": 1.0}
    monkeypatch.setattr(tour, "run", lambda out, **options: scores)
    assert run("tour", "--show", "--out", tmp_path) == 0
    out, err = capsys.readouterr()
    assert f"in {tmp_path}{os.sep}" in out
    assert err == "there is no display to show them on\n"


def test_doctor_says_what_it_found(tmp_path):
    ran = run_apart(tmp_path, "doctor", "--quick", "--seed", "1")
    assert ran.returncode == 0, ran.stderr
    for package in ("numpy", "numba", "matplotlib"):
        assert f"{package} {importlib.metadata.version(package)}" in ran.stdout
    facts = {line[:12].strip(): line[12:] for line in ran.stdout.splitlines()}
    assert {
        "minigen",
        "python",
        "packages",
        "cores",
        "BLAS",
        "kernels",
        "cache",
        "first step",
        "next steps",
        "normal",
    } <= set(facts)
    assert "numba" in facts["kernels"]
    assert "compiled kernels" in facts["cache"] or "empty" in facts["cache"]
    step, products = (float(facts["next steps"].split(" us")[i].split()[-1]) for i in (0, 1))
    assert 0 < products < step


def test_doctor_without_numba(tmp_path):
    settings = {"MINIGEN_KERNELS": "numpy", "OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell"}
    ran = run_apart(tmp_path, "doctor", "--quick", **settings)
    assert ran.returncode == 0, ran.stderr
    assert "plain NumPy; MINIGEN_KERNELS is numpy" in ran.stdout
    assert "OPENBLAS_NUM_THREADS is 1" in ran.stdout
    assert "OPENBLAS_CORETYPE=Haswell forbids" in ran.stdout
    assert "cache" not in ran.stdout


def test_one_blas_thread_and_back(monkeypatch):
    before = blas.threads()
    if before is None:
        pytest.skip("this NumPy brings no OpenBLAS of its own")
    for name in blas.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with blas.one_thread():
        assert blas.threads() == 1
    assert blas.threads() == before
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")  # the user's word stands
    with blas.one_thread():
        assert blas.threads() == before
