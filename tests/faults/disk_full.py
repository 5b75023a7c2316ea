"""A disk that is full, while a preview writes and while pointers move."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from remediation.models import Plan
from tests.faults.catalogue import NOT_RUN, fault
from tests.faults.world import World

_TABLES = ("transactions_calculation", "transactions_currentcalculation")


@contextmanager
def small_disk(world: World) -> Iterator[Path]:
    """The tables of calculations and pointers on a file system of 24 MB. Raises `CalledProcessError` where none can be mounted."""
    with world.administration() as admin:
        (data,) = admin.execute("SHOW data_directory").fetchone() or ("",)
    folder = Path(data).parent / "small"
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True, capture_output=True
    )
    try:
        owner = Path(data).stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        folder.chmod(0o700)
        _move(world, f"CREATE TABLESPACE small LOCATION '{folder}'", "small")
        yield folder
    finally:
        (folder / "ballast").unlink(missing_ok=True)
        _move(world, "SELECT", "pg_default")
        with world.administration() as admin:
            admin.execute("CHECKPOINT")
            admin.execute("DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def _move(world: World, first: str, tablespace: str) -> None:
    with world.administration_of_database() as admin:
        admin.execute(first)
        for table in _TABLES:
            admin.execute(f"ALTER TABLE {table} SET TABLESPACE {tablespace}")
            for (index,) in admin.execute(
                "SELECT indexname FROM pg_indexes WHERE tablename = %s", [table]
            ).fetchall():
                admin.execute(f"ALTER INDEX {index} SET TABLESPACE {tablespace}")


def _fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        try:
            while ballast.write(b"\0" * 4096):
                continue
        except OSError:
            return


@fault("the disk is full, and has room again")
def disk_full(world: World, rng: Random) -> None:
    """What cannot be written is given up, with the reason, and nothing of it stands; with room again the same can be asked for anew."""
    world.want_workers(concurrency=2)
    try:
        with small_disk(world) as folder:
            incident = world.incident(300)
            _fill(folder)
            plan = world.preview(incident)
            world.judge.that(
                "I11", plan.status == Plan.Status.FAILED, f"it ended {plan.status} on a full disk"
            )
            world.judge.that("I11", "No space left" in plan.failure, f"it does not say why: {plan.failure}")
            world.judge.everything()
            (folder / "ballast").unlink()
            at = time.time()
            plan = world.preview(incident)
            world.recovered(at)
            _fill(folder)
            job = world.await_end(world.start(world.approve(plan)))
            (folder / "ballast").unlink()
            world.settle(plan, verify=False)
            if job.status != job.Status.FINISHED:
                world.judge.that("I11", "No space left" in job.failure, f"it does not say why: {job.failure}")
            world.settle(plan)
    except subprocess.CalledProcessError as error:
        if error.cmd[0] != "mount":
            raise
        NOT_RUN["disk full"] = f"no file system can be mounted here: {(error.stderr or b'').decode().strip()}"
