"""Global flags, failures and exit codes: the same for every command."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.cli.conftest import Cli

from costweir import __version__, errors
from costweir.cli.commands import root
from costweir.cli.failures import as_error
from costweir.cli.frame import run


@pytest.mark.parametrize(
    "words", [["--json", "version"], ["version", "--json"], ["--quiet", "version", "--json"]]
)
def test_a_global_flag_stands_before_or_after_the_noun(cli: Cli, words: list[str]) -> None:
    done = cli(*words)

    assert done.code == 0
    assert done.json["schema"] == "costweir.version/1"
    assert done.json["version"] == __version__
    assert done.err == ""


def test_a_global_flag_stands_before_between_or_after_nested_nouns(cli: Cli, home: Path) -> None:
    where = ["--data-dir", str(home / "elsewhere")]

    for words in ([*where, "config", "show"], ["config", *where, "show"], ["config", "show", *where]):
        rows = {row["key"]: row["value"] for row in cli(*words, "--json").json["rows"]}
        assert rows["data_dir"] == str(home / "elsewhere")


def test_an_unknown_command_names_the_nearest(cli: Cli) -> None:
    done = cli("qestions")

    assert done.code == 2
    assert done.out == ""
    assert done.err == "No such command 'qestions'.\nhint: Did you mean questions?\n"


def test_an_unknown_option_names_the_nearest(cli: Cli) -> None:
    done = cli("config", "show", "--orign", "--json")

    assert done.code == 2
    assert done.error == {
        "code": "usage",
        "message": "No such option '--orign'.",
        "hint": "Did you mean --origin?",
        "transient": False,
    }


@pytest.mark.parametrize(
    "words",
    [
        ["ask"],
        ["ask", "spend", "--since", "yesterday"],
        ["ask", "spend", "--since", "20261101"],
        ["ask", "spend", "--where", "customer"],
        ["ask", "spend", "--limit", "0"],
        ["ask", "spend", "--basis", "gross"],
        ["pull", "files"],
        ["pull", "files", "x", "--source", "excel"],
        ["pull"],
        ["up", "--web-port", "99999"],
        ["completion", "powershell"],
        ["version", "--json", "--csv"],
        ["--nonsense"],
    ],
)
def test_wrong_usage_exits_2_with_one_sentence_and_a_hint(cli: Cli, words: list[str]) -> None:
    done = cli(*words)
    assert done.code == 2
    assert done.out == ""
    if "--json" not in words:
        sentence, hint = done.err.splitlines()
        assert sentence.endswith(".")
        assert hint.startswith("hint: ")

    with_json = cli(*words, "--json") if "--json" not in words else done
    assert with_json.code == 2
    assert set(with_json.error) == {"code", "message", "hint", "transient"}
    assert with_json.error["code"] == "usage"


def test_without_a_command_the_help_is_shown(cli: Cli) -> None:
    done = cli()

    assert done.code == 0
    assert "Commands:" in done.out


def all_errors() -> list[type[errors.Error]]:
    return [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Error)
    ]


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_of_the_tree_has_its_exit_code_and_its_object(
    kind: type[errors.Error], capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise kind("It failed.", hint="Do that.")

    command = click.Command("x", callback=fail)

    assert run(command, []) == kind.exit_code
    assert capfd.readouterr().err == "It failed.\nhint: Do that.\n"


def test_a_defect_is_one_sentence_and_a_traceback_only_when_asked_for(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("two\nlines")

    command = click.Command("x", callback=fail)
    monkeypatch.delenv("COSTWEIR_DEBUG", raising=False)
    assert run(command, []) == 1
    err = capfd.readouterr().err
    assert "ZeroDivisionError: two lines" in err
    assert "Traceback" not in err

    monkeypatch.setenv("COSTWEIR_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run(command, [])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left", "/data/x"), 1, "The disk is full: /data/x."),
        (FileNotFoundError(errno.ENOENT, "none", "bill.csv"), 1, "There is no file bill.csv."),
        (PermissionError(errno.EACCES, "no", "/data/x"), 1, "No permission for /data/x."),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), 3, "The connection failed"),
        (MemoryError(), 1, "not enough memory"),
    ],
)
def test_what_the_system_refuses_is_said_in_one_sentence(error: Exception, code: int, said: str) -> None:
    known = as_error(error)

    assert known.exit_code == code
    assert said in known.message
    assert known.hint


def test_ctrl_c_exits_130(capfd: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert run(click.Command("x", callback=interrupted), []) == 130
    assert capfd.readouterr().err == "Interrupted.\n"


def test_sigint_to_the_real_program_exits_130_without_a_traceback(home: Path) -> None:
    # A shell lets what it starts in the background ignore the signal, and a child inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "costweir", "classify", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("cloud,service,sku_or_usage_type,unit\n" + "aws,Amazon Bedrock,x,y\n" * 300)
        process.stdin.flush()
        assert process.stdout.readline().startswith("cloud,")
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr is not None
        err = process.stderr.read()
    assert process.returncode == 130
    assert err == "Interrupted.\n"


def test_a_reader_that_goes_away_is_no_failure(home: Path) -> None:
    script = f"{sys.executable} -m costweir prices list --csv | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)

    assert done.stdout.splitlines()[0].startswith("provider,model")
    assert done.stdout.splitlines()[-1] == "0"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("way", [["-m", "costweir"], ["-c", "from costweir.cli import main; main()"]])
def test_the_program_starts_as_module_and_as_entry_point(home: Path, way: list[str]) -> None:
    done = subprocess.run([sys.executable, *way, "--version"], capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_an_ascii_terminal_gets_escapes_instead_of_a_crash(home: Path) -> None:
    config = home / "c.toml"
    config.write_text('name = "Zürich → Genève"', encoding="utf-8")
    environ = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    words = ["-m", "costweir", "config", "show", "--config", str(config)]

    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environ)

    assert done.returncode == 0
    assert "Z\\xfcrich" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(cli: Cli, shell: str) -> None:
    done = cli("completion", shell)

    assert done.code == 0
    assert "_COSTWEIR_COMPLETE" in done.out


def test_completion_answers_with_commands_and_flags(home: Path) -> None:
    def complete(words: str, place: int) -> str:
        environ = os.environ | {
            "_COSTWEIR_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(place),
        }
        done = subprocess.run([sys.executable, "-c", "from costweir.cli import main; main()"],
                              capture_output=True, text=True, env=environ)  # fmt: skip
        assert done.stderr == ""
        return done.stdout

    assert "plain,questions" in complete("costweir que", 1)
    assert "plain,--data-dir" in complete("costweir ask --da", 2)


def test_every_command_has_a_help_that_names_the_global_flags(cli: Cli) -> None:
    def walk(group: click.Group, words: list[str]) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            done = cli(*words, name, "--help")
            assert done.code == 0
            assert "--data-dir" in done.out
            command = group.get_command(context, name)
            assert command is not None
            assert command.help
            if isinstance(command, click.Group):
                walk(command, [*words, name])

    assert isinstance(root, click.Group)
    walk(root, [])


def test_the_json_error_object_is_one_line(cli: Cli) -> None:
    done = cli("ask", "--json")

    assert len(done.err.splitlines()) == 1
    assert list(json.loads(done.err)) == ["error"]
