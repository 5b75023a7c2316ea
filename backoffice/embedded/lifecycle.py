"""Starting, stopping and looking at whatever is embedded here. Where the environment names servers elsewhere, nothing is."""

from dataclasses import dataclass

from backoffice.embedded.broker import EmbeddedBroker
from backoffice.embedded.home import Home
from backoffice.embedded.postgres import EmbeddedPostgres
from backoffice.embedded.process_file import ProcessFile

_SUPERVISOR_PATIENCE_SECONDS = 40


@dataclass(frozen=True)
class Embedded:
    """Which of the two services are embedded in a home, and what can be done with them."""

    home: Home
    database: bool
    broker: bool

    def up(self) -> dict[str, str]:
        """Start what is embedded and does not run. Idempotent; two at once wait for each other.

        Says for each: "started", "ran already" or "elsewhere". Raises `PostgresFailed`, `BrokerFailed`, `NoBinaries`,
        `NobodyToRunAs`, `UnsafeDirectory`.
        """
        self.home.make_directories()
        done: dict[str, str] = {}
        with self.home.locked():
            for name, service in self._services().items():
                if service is None:
                    done[name] = "elsewhere"
                elif service.is_up():
                    done[name] = "ran already"
                else:
                    service.start()
                    done[name] = "started"
        return done

    def down(self) -> dict[str, str]:
        """Stop the supervisor with its workers, then what is embedded. Says for each: "stopped", "did not run" or "elsewhere"."""
        stopped = supervisor_file(self.home).stop(_SUPERVISOR_PATIENCE_SECONDS)
        done = {"supervisor": "stopped" if stopped else "did not run"}
        with self.home.locked():
            for name, service in reversed(self._services().items()):
                if service is None:
                    done[name] = "elsewhere"
                else:
                    done[name] = "stopped" if service.stop() else "did not run"
        return done

    def status(self) -> dict[str, str]:
        """For each of supervisor, database and broker: "running", "not running" or "elsewhere"."""
        supervised = supervisor_file(self.home).running() is not None
        found = {"supervisor": "running" if supervised else "not running"}
        for name, service in self._services().items():
            if service is None:
                found[name] = "elsewhere"
            else:
                found[name] = "running" if service.is_up() else "not running"
        return found

    def _services(self) -> dict[str, EmbeddedPostgres | EmbeddedBroker | None]:
        return {
            "database": EmbeddedPostgres(self.home) if self.database else None,
            "broker": EmbeddedBroker(self.home) if self.broker else None,
        }


def supervisor_file(home: Home) -> ProcessFile:
    """Where a supervisor of this home says that it runs."""
    return ProcessFile(home.path / "supervisor.process")
