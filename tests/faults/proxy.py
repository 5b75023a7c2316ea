"""A proxy before PostgreSQL's socket that forwards a commit and loses its answer."""

import select
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class AnswerLosingProxy:
    """Listens in `folder` under PostgreSQL's own socket name. The next `lose_answers` commits of applied chunks reach the server, whose
    answer is read and thrown away; then the client's connection is closed.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self.lose_answers = 0
        self._server = server
        self._lock = threading.Lock()
        self._listening = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> "AnswerLosingProxy":
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700, parents=True)
        self._listening.bind(str(self.folder / self._server.name))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with client, server, suppress(OSError):
            server.connect(str(self._server))
            applying = False
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65_536)
                    if not data:
                        return
                    if ready is server:
                        client.sendall(data)
                        continue
                    applying = applying or b"amends_apply_chunk" in data
                    server.sendall(data)
                    if b"COMMIT" in data:
                        if applying and self._may_lose():
                            server.recv(65_536)
                            return
                        applying = False

    def _may_lose(self) -> bool:
        with self._lock:
            if self.lose_answers < 1:
                return False
            self.lose_answers -= 1
            return True
