"""CPU and memory limits of containers, from the files of control groups v1 and v2."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.system.cgroup import cpu_limit, memory_left, memory_limit

GIB = 2**30


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def listing(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "own"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_version_2_takes_the_tightest_limit_on_the_way_up(groups: Path, tmp_path: Path) -> None:
    own = listing(tmp_path, "0::/slurm/job7/step0")
    write(groups / "slurm/job7/step0", cpu__max="max 100000", memory__max="max", memory__current=1)
    write(groups / "slurm/job7", cpu__max="250000 100000", memory__max=8 * GIB, memory__current=5 * GIB)
    write(groups / "slurm/job7", memory__stat=f"anon 4\ninactive_file {GIB}")
    write(groups / "slurm", cpu__max="800000 100000", memory__max=64 * GIB, memory__current=60 * GIB)
    assert cpu_limit(groups, own) == 2.5
    assert memory_limit(groups, own) == 8 * GIB
    assert memory_left(groups, own) == 4 * GIB


def test_version_1_has_a_tree_for_each_resource(groups: Path, tmp_path: Path) -> None:
    own = listing(tmp_path, "4:memory:/docker/a", "3:cpu,cpuacct:/docker/a", "2:cpuset:/other", "0::/")
    write(groups / "cpu,cpuacct/docker/a", cpu__cfs_quota_us=150_000, cpu__cfs_period_us=100_000)
    write(groups / "memory/docker/a", memory__limit_in_bytes=4 * GIB, memory__usage_in_bytes=3 * GIB)
    write(groups / "memory", memory__limit_in_bytes=9223372036854771712, memory__usage_in_bytes=5)
    assert cpu_limit(groups, own) == 1.5
    assert memory_limit(groups, own) == 4 * GIB
    assert memory_left(groups, own) == GIB


def test_a_container_that_sees_its_own_group_as_the_root(groups: Path, tmp_path: Path) -> None:
    own = listing(tmp_path, "0::/")
    write(groups, cpu__max="50000 100000", memory__max=GIB, memory__current=2 * GIB)
    assert cpu_limit(groups, own) == 0.5
    assert memory_left(groups, own) == 0


def test_without_limits_there_is_none(groups: Path, tmp_path: Path) -> None:
    own = listing(tmp_path, "5:cpu:/a", "0::/a")
    write(groups / "cpu/a", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100_000)
    write(groups / "a", cpu__max="max 100000", memory__max="max")
    assert cpu_limit(groups, own) is None
    assert memory_limit(groups, own) is None
    assert memory_left(groups, own) is None


def test_a_system_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path, tmp_path / "missing") is None
    assert memory_limit(tmp_path, tmp_path / "missing") is None


@settings(max_examples=50)
@given(st.text(alphabet="max 0123456789-.\nabc/", max_size=30))
def test_files_of_any_content_are_borne(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    folder = tmp_path_factory.mktemp("groups")
    own = listing(folder, "0::/", "3:cpu:/")
    write(folder, cpu__max=content, memory__max=content, memory__current=content, memory__stat=content)
    limit = cpu_limit(folder, own)
    assert limit is None or limit > 0
    memory = memory_limit(folder, own)
    assert memory is None or memory < 2**60
