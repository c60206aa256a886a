"""The hub's files say what the page says, and name only settings that exist."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tlcourse.base.machine import GIB, MEMORY_LIMIT

ROOT = Path(__file__).parents[2]
HUB = ROOT / "docs" / "jupyterhub"
PAGE = (ROOT / "docs" / "jupyterhub.md").read_text(encoding="utf-8")
VALUES = yaml.safe_load((HUB / "values.yaml").read_text(encoding="utf-8"))
LEARNER = VALUES["singleuser"]
SCRIPT = (HUB / "tljh.sh").read_text(encoding="utf-8")
SETTINGS = (HUB / "hub_settings.py").read_text(encoding="utf-8")


def row(name):
    """Cells of a table's row in the page."""
    (line,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", PAGE, re.M)
    return [cell.strip() for cell in line.split("|")]


def gigabytes(text):
    return float(re.fullmatch(r"([\d.]+)G", text)[1])


def spawner_environment():
    """What hub_settings.py adds to a learner's environment."""
    calls = [node for node in ast.walk(ast.parse(SETTINGS)) if isinstance(node, ast.Call)]
    update = next(call for call in calls if ast.unparse(call.func).endswith("environment.update"))
    return ast.literal_eval(update.args[0])


def test_limits_are_those_of_the_page():
    memory, cpu = LEARNER["memory"], LEARNER["cpu"]
    assert row("Memory") == [memory["guarantee"], memory["limit"]]
    assert row("Cores") == [str(cpu["guarantee"]), str(cpu["limit"])]
    assert f"tljh-config set limits.memory {memory['limit']}\n" in SCRIPT
    assert f"tljh-config set limits.cpu {cpu['limit']}\n" in SCRIPT


def test_two_open_notebooks_fit_below_the_limit_of_memory():
    """JupyterHub's G is 2**30 bytes."""
    assert gigabytes(LEARNER["memory"]["limit"]) * GIB >= 2 * MEMORY_LIMIT
    assert gigabytes(LEARNER["memory"]["guarantee"]) * GIB >= MEMORY_LIMIT


def test_threads_are_as_many_as_the_cores_that_a_learner_may_use():
    for environment in (LEARNER["extraEnv"], spawner_environment()):
        assert environment["OMP_NUM_THREADS"] == str(LEARNER["cpu"]["limit"])
        assert environment["OMP_WAIT_POLICY"] == "passive"


def test_variables_are_ones_that_the_course_reads():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tlcourse").rglob("*.py")]
    known = {name for text in sources for name in re.findall(r'"(TLCOURSE_\w+)"', text)}
    named = {*LEARNER["extraEnv"], *spawner_environment()}
    named |= set(re.findall(r"TLCOURSE_\w+", PAGE + SCRIPT + (HUB / "fill_cache.yaml").read_text()))
    ours = {name for name in named if name.startswith("TLCOURSE_")}
    assert "TLCOURSE_SHARED_CACHE" in ours
    assert ours <= known


def test_the_shared_cache_is_one_place_and_read_only():
    shared = LEARNER["extraEnv"]["TLCOURSE_SHARED_CACHE"]
    (mount,), (volume,) = (
        LEARNER["storage"]["extraVolumeMounts"],
        LEARNER["storage"]["extraVolumes"],
    )
    assert (mount["mountPath"], mount["readOnly"], mount["name"]) == (shared, True, volume["name"])
    assert volume["persistentVolumeClaim"]["readOnly"] is True
    assert spawner_environment()["TLCOURSE_SHARED_CACHE"] == shared
    assert f"shared={shared}\n" in SCRIPT
    claim, job = yaml.safe_load_all((HUB / "fill_cache.yaml").read_text(encoding="utf-8"))
    assert claim["metadata"]["name"] == volume["persistentVolumeClaim"]["claimName"]
    pod = job["spec"]["template"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (container,) = pod["containers"]
    assert container["env"] == [{"name": "TLCOURSE_CACHE", "value": shared}]
    assert container["volumeMounts"][0]["mountPath"] == shared
    image = LEARNER["image"]
    assert container["image"] == f"{image['name']}:{image['tag']}"


def test_learners_come_to_the_first_notebook_and_what_they_do_is_kept():
    assert LEARNER["defaultUrl"].endswith("/notebooks/00_start_here.ipynb")
    assert 'default_url = "/lab/tree/notebooks/00_start_here.ipynb"' in SETTINGS
    disk = LEARNER["storage"]["homeMountPath"]
    for name in ("TLCOURSE_CACHE", "TLCOURSE_PROGRESS"):
        assert LEARNER["extraEnv"][name].startswith(f"~/{Path(disk).name}/")
    (copy,) = re.findall(
        r"cp -rn (\S+) (\S+)", LEARNER["lifecycleHooks"]["postStart"]["exec"]["command"][2]
    )
    assert copy == ('"$HOME/notebooks"', f'"$HOME/{Path(disk).name}/"')
    assert f"--user-name {Path(disk).parent.name} " in PAGE


def test_the_notebooks_are_copied_without_touching_a_learners_own(tmp_path):
    """The hook itself, in another home; cp of BusyBox and of GNU know -n."""
    course, disk = tmp_path, tmp_path / Path(LEARNER["storage"]["homeMountPath"]).name
    for place, text in ((course, "new"), (disk, "mine")):
        (place / "notebooks").mkdir(parents=True)
        (place / "notebooks" / "00.ipynb").write_text(text)
    (course / "notebooks" / "01.ipynb").write_text("new")
    command = LEARNER["lifecycleHooks"]["postStart"]["exec"]["command"][2]
    here = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, env=here)
    assert (disk / "notebooks" / "00.ipynb").read_text() == "mine"
    assert (disk / "notebooks" / "01.ipynb").read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
def test_the_script_is_right_and_stops_where_it_does_not_belong(tmp_path):
    subprocess.run(["bash", "-n", HUB / "tljh.sh"], check=True)
    done = subprocess.run(
        ["bash", HUB / "tljh.sh"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "a server with The Littlest JupyterHub" in done.stderr


def test_the_script_installs_the_tested_pytorch():
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for name in ("torch", "torchvision"):
        (version,) = re.findall(rf"^{name}==(\S+)$", pinned, re.M)
        assert f"{name}=={version} " in SCRIPT


def test_every_file_of_the_folder_is_on_the_page():
    for path in HUB.iterdir():
        if path.is_file():
            assert f"(jupyterhub/{path.name})" in PAGE
