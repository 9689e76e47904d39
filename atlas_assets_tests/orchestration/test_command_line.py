"""Dagster's own command line on the package, as docs/guide.md types it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from atlas_assets.orchestration.partitions import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from atlas_assets_tests.frozen.calls import Workplace
from atlas_assets_tests.orchestration.tiny_atlas import copy_of, environment

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def env(built: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of an atlas that ``dagster job execute -j atlas`` has built."""
    data = tmp_path_factory.mktemp("data")
    copy_of(built, data)
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")},
        **environment(data),
        "DAGSTER_HOME": str(shutil.copytree(built / "dagster", data / "home")),
        "DAGSTER_MODULE_NAME": "atlas_assets.definitions",
    }


def run(env: dict[str, str], *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
    )


def run_in_a_terminal(env: dict[str, str], *command: str, cwd: Path) -> tuple[int, str, str]:
    """The exit code, standard output, and what a terminal was shown by way of standard error."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    with subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        env=env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        # Linux ends the reading of a terminal that nobody holds with an error
        with suppress(OSError), os.fdopen(ours, "rb", 0) as terminal:
            while read := terminal.read(65536):
                shown += read
        output, _ = process.communicate(timeout=600)
    return process.returncode, output.decode(), shown.decode().replace("\r\n", "\n")


def test_the_commands_of_the_guide(env: dict[str, str], tmp_path: Path) -> None:
    folder = Path(env["ATLAS_DATA_DIR"]) / "tiny"
    assert pl.read_csv(folder / "14_summary.csv").height == 9

    one = folder / "13_object_masks_eps0.5_cons0.8.h5"
    other = folder / "13_object_masks_eps0.1_cons0.8.h5"
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (one, other)}
    partition = run(
        env,
        *("dagster", "asset", "materialize", "--select", "object_masks"),
        *("--partition", "0.8|0.5"),
        cwd=tmp_path,
    )
    assert partition.returncode == 0, partition.stderr[-3000:]
    assert one.stat().st_mtime_ns > before[one][0]
    assert one.read_bytes() == before[one][1]
    assert other.stat().st_mtime_ns == before[other][0]

    other.unlink()
    masks = run(env, "dagster", "asset", "materialize", "--select", "masks", cwd=tmp_path)
    assert masks.returncode == 0, masks.stderr[-3000:]
    assert other.read_bytes() == before[other][1]

    where = run(env, "atlas", "where", cwd=tmp_path)
    assert where.returncode == 0
    assert str(folder) in where.stdout
    assert other.name in where.stdout
    assert "atlas ui" in where.stdout


def test_a_killed_run_does_not_stand_in_the_way_of_the_next(
    env: dict[str, str], tmp_path: Path
) -> None:
    """SIGKILL under the dagster.yaml that ships; what was done stays, what was not is made.

    `len` has a keyword, but loops pair with iterables only: it is left out.
    """
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(ROOT / ".dagster_home" / "dagster.yaml", home)
    cut = environment(
        tmp_path / "data",
        ast_nodes="For,While,Pass",
        builtins="list,len,_isolated_",
        variations="2",
        epsilons="0.1,0.5",
        consistencies="0.8",
    )
    here = {**env, **cut, "DAGSTER_HOME": str(home)}
    command = [str(BIN / "dagster"), "job", "execute", "-j", "atlas"]
    with subprocess.Popen(
        command,
        env=here,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stderr is not None
        for line in killed.stderr:
            # a step that runs the model is under way
            if "object_activations" in line:
                break
        killed.kill()
    folder = tmp_path / "data" / "tiny"
    assert (folder / "11A_object_prompts.parquet").exists()
    assert not (folder / "14_summary.csv").exists()
    code, answer, told = run_in_a_terminal(here, "atlas", "build", "--json", cwd=tmp_path)
    assert code == 0, told[-3000:]
    assert (folder / "14_summary.csv").exists()
    document = json.loads(answer)
    assert document["folder"] == str(folder)
    assert document["report"] == str(folder / "atlas_explorer.html")
    assert document["failures"] == {}
    assert document["checks_not_passed"] == {}
    assert document["checks_passed"] > 100
    assert document["findings"]
    checked = pl.read_parquet(folder / "11B_checker_prompts.parquet")["object"]
    testable = ["ast__For", "ast__Pass", "ast__While", "builtin__list"]
    assert checked.unique().sort().to_list() == testable
    made = re.findall(r"\[ *(\d+)/(\d+)\] (\w+) +\d+\.\d s$", told, re.MULTILINE)
    assert made, told[-3000:]
    number, total, last = made[-1]
    assert (number, last) == (total, "atlas_version"), told[-3000:]
    assert re.search(r"checker_activations: prompts read: +\d+%", told), told[-3000:]
    assert " - dagster - " not in told
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_of_build = instance.get_run_by_id(document["run_id"])
        assert run_of_build is not None
        assert run_of_build.is_success
        assert len(instance.all_logs(document["run_id"])) > 500

    link = run(here, "atlas", "open", "--print", cwd=tmp_path)
    assert link.stdout == f"file://{folder}/atlas_explorer.html\n"


def test_a_setting_out_of_range_ends_the_command_with_its_name(
    env: dict[str, str], tmp_path: Path
) -> None:
    wrong = {**env, "ATLAS_CONSISTENCIES": "1.5"}
    result = run(wrong, "dagster", "asset", "materialize", "--select", "summary", cwd=tmp_path)
    assert result.returncode != 0
    assert "ATLAS_CONSISTENCIES" in result.stdout + result.stderr
    result = run(wrong, "atlas", "where", cwd=tmp_path)
    assert result.returncode != 0
    assert "ATLAS_CONSISTENCIES" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_run_of_one_partition_plans_that_one_alone(env: dict[str, str], tmp_path: Path) -> None:
    """Dagster calls failed what a failed run has planned: of the others it must not speak."""
    done = run(
        env,
        *("dagster", "job", "backfill", "-m", "atlas_assets.definitions", "-j", "sweep"),
        *("--partitions", "0.8|0.5", "--noprompt"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        (queued,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
        assert queued.tags["dagster/partition"] == "0.8|0.5"
        assert not {ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG} & {*queued.tags}
        planned = instance.get_records_for_run(
            queued.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        ).records
        events = [record.event_log_entry.dagster_event for record in planned]
        partitioned = {
            (event.asset_key.to_user_string(), event.partition)
            for event in events
            if event and event.asset_key and event.partition
        }
        assert partitioned == {
            (key, "0.8|0.5") for key in ("object_masks", "checker_masks", "target_checker")
        }


def begun(env: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    """`atlas build`, in a group of processes of its own, all of which Ctrl-C meets."""
    few = environment(folder, ast_nodes="For,Pass", builtins="list,_isolated_", variations="2")
    return subprocess.Popen(
        [str(BIN / "atlas"), "build"],
        env={**env, **few, "DAGSTER_HOME": str(folder / "home")},
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_an_interrupt_ends_a_build_in_words(env: dict[str, str], tmp_path: Path) -> None:
    with begun(env, tmp_path) as process:
        assert process.stderr is not None
        lines, pressed = [], False
        for line in process.stderr:
            lines.append(line)
            if not pressed and re.match(r"\[ *2/", line):
                pressed = True
                os.killpg(process.pid, signal.SIGINT)
    assert process.returncode == 130, lines
    assert lines[-1] == "interrupted; `atlas build` goes on with what was begun\n"
    assert not any("Traceback" in line or "built in" in line for line in lines)


def test_an_interrupt_before_the_first_step_ends_a_command_in_a_word(
    env: dict[str, str], tmp_path: Path
) -> None:
    with begun(env, tmp_path) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("building in ")
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest == "interrupted\n"


@pytest.mark.slow
def test_the_job_validate_on_the_whole_atlas_takes_less_than_two_gigabytes(tmp_path: Path) -> None:
    whole = Workplace(tmp_path, {})
    whole.build()
    command = [BIN / "dagster", "job", "execute", "-m", "atlas_assets.definitions"]
    log = tmp_path / "validate.log"
    with log.open("w") as told:
        process = subprocess.Popen(
            [*command, "-j", "validate"], env=whole.environment, stdout=told, stderr=told
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, log.read_text()[-4000:]
    assert used.ru_maxrss * 1024 < 2e9  # in KiB on Linux
