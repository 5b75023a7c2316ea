"""Embedded Valkey or Redis: a private process on a unix socket. Keeps nothing on disk, since the database is the truth."""

import subprocess
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backoffice.embedded.binaries import broker_binary
from backoffice.embedded.home import Home
from backoffice.embedded.process_file import ProcessFile

_START_SECONDS = 20
_STOP_SECONDS = 5
_ONCE = Retry(NoBackoff(), 0)


class BrokerFailed(RuntimeError):
    """The broker did not start. The message says what its log ends with."""


class EmbeddedBroker:
    def __init__(self, home: Home) -> None:
        self._home = home
        self._process_file = ProcessFile(home.path / "broker.process")
        self._log = home.logs / "broker.log"

    def is_up(self) -> bool:
        """Whether our own process runs and answers."""
        return self._process_file.running() is not None and self._answers()

    def start(self) -> None:
        """Start it if it does not run; call with the home's lock held. Raises `BrokerFailed`, `NoBinaries`."""
        if self.is_up():
            return
        self._process_file.stop(_STOP_SECONDS)
        self._home.broker_socket.unlink(missing_ok=True)
        binary = broker_binary()
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [binary, *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home.path,
                start_new_session=True,  # Ctrl-C in a terminal is for the one who started us, who then stops us in order
            )
        self._process_file.write(process.pid)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                ending = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise BrokerFailed(f"{binary} did not start. Its log, {self._log}, ends with:\n{ending}")
            time.sleep(0.02)

    def stop(self) -> bool:
        """Stop it; call with the home's lock held. Says whether it ran."""
        ran = self._process_file.stop(_STOP_SECONDS)
        self._home.broker_socket.unlink(missing_ok=True)
        return ran

    def _arguments(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._home.broker_socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "noeviction",
            "databases": "4",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _answers(self) -> bool:
        client = redis.Redis(unix_socket_path=str(self._home.broker_socket), socket_timeout=2, retry=_ONCE)
        try:
            return bool(client.ping())
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()
