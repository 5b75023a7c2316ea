"""The project's settings, on servers and a database that only the benchmark uses.

Private embedded services under AMENDS_HOME/bench; with DATABASE_URL, DATABASE_OWNER_URL, DATABASE_SEALER_URL and REDIS_URL given,
those servers, in databases whose names begin with “amends_bench” (DATABASE_ADMIN_URL too, unless the owner may make databases).
"""

import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from backoffice.embedded.home import Home

DATABASE = "amends_bench"
EMBEDDED = "AMENDS_BENCH_HOME" in os.environ or not os.environ.get("DATABASE_URL")


def on_database(url: str, database: str) -> str:
    """The same address with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


if "AMENDS_BENCH_HOME" not in os.environ:
    # Once: the processes started from here inherit what is set below.
    if EMBEDDED:
        _home = Home(
            Path(os.environ.get("AMENDS_HOME") or Path(__file__).parent.parent / ".amends") / "bench"
        )
        os.environ |= {
            "AMENDS_BENCH_HOME": str(_home.path),
            "AMENDS_HOME": str(_home.path),
            "DATABASE_URL": _home.application_url(DATABASE),
            "DATABASE_OWNER_URL": _home.owner_url(DATABASE),
            "DATABASE_SEALER_URL": _home.sealer_url(DATABASE),
            "DATABASE_ADMIN_URL": _home.admin_url(),
            "REDIS_URL": _home.broker_url,
        }
    else:
        for _name in ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_SEALER_URL"):
            os.environ[_name] = on_database(os.environ[_name], DATABASE)
    os.environ["AMENDS_BROKER_PREFIX"] = f"{DATABASE}:"
    os.environ["AMENDS_CALCULATORS"] = "benchmarks.calculators"
    # The owner's address is for making databases and for the floor; product and workers are the application.

BENCH_HOME = Home(Path(os.environ["AMENDS_HOME"])) if EMBEDDED else None
APPLICATION_URL = os.environ["DATABASE_URL"]
OWNER_URL = os.environ["DATABASE_OWNER_URL"]
SEALER_URL = os.environ["DATABASE_SEALER_URL"]
ADMIN_URL = os.environ.get("DATABASE_ADMIN_URL") or on_database(OWNER_URL, "postgres")

from backoffice.settings import *  # noqa: E402, F403 (reads the environment made above)

DATABASES.pop("owner", None)  # noqa: F405
