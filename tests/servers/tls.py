"""Certificates, and TLS in front of the wheel's PostgreSQL, which is built without."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.servers.endpoints import LOCALHOST

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
SSL_ACCEPTED = b"S"


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files of an authority and of a certificate that it signed."""

    authority: Path
    certificate: Path
    key: Path

    def build_server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def build_client_context(self, own: Certificates | None = None) -> ssl.SSLContext:
        """Return a context that trusts the authority and presents a client certificate."""
        context = ssl.create_default_context(cafile=str(self.authority))
        if own is not None:
            context.load_cert_chain(own.certificate, own.key)
        return context


class Authority:
    """A certificate authority."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def sign(self, folder: Path, *names: str) -> Certificates:
        """Sign a certificate for the names, by default 127.0.0.1 and localhost, in a new folder."""
        folder.mkdir(exist_ok=True)
        signed = self._authority.issue_cert(*(names or (LOCALHOST, "localhost")))
        files = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
        self._authority.cert_pem.write_to_path(str(files.authority))
        signed.cert_chain_pems[0].write_to_path(str(files.certificate))
        signed.private_key_pem.write_to_path(str(files.key))
        return files


def write_certificates(folder: Path, *names: str) -> Certificates:
    """Write a certificate for the names and its own authority."""
    return Authority().sign(folder, *names)


@contextmanager
def open_tls_front(server_port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Yield a port that accepts PostgreSQL's SSLRequest and forwards the rest, decrypted."""

    async def serve(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await accept_tls(client, back, context)
            server, forth = await asyncio.open_connection(LOCALHOST, server_port)
            await asyncio.gather(pass_on(client, forth), pass_on(server, back))
        back.close()

    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(asyncio.start_server(serve, LOCALHOST, 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        asyncio.run_coroutine_threadsafe(end_tasks(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def accept_tls(
    client: asyncio.StreamReader, back: asyncio.StreamWriter, context: ssl.SSLContext
) -> None:
    request = await client.readexactly(len(SSL_REQUEST))
    if request != SSL_REQUEST:
        raise ConnectionAbortedError("the client does not ask for TLS")
    back.write(SSL_ACCEPTED)
    await back.drain()
    await back.start_tls(context)


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


async def end_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
