"""Files as the agent writes them, of processes that a test ends."""

from pathlib import Path

from sqlalchemy_pool_metrics import PoolDescription, process_file
from sqlalchemy_pool_metrics.layout import SLOT
from sqlalchemy_pool_metrics.process_file import ProcessFile

POOL = PoolDescription(
    name="main",
    application="shop",
    pool_class="QueuePool",
    dialect="postgresql",
    driver="psycopg",
    host="db",
    database="orders",
    size=5,
    max_connections=15,
    waits=True,
)


class SharedFile:
    """The file of a process that lives until `end`; the test process holds its lock."""

    def __init__(self, folder: Path, *pools: PoolDescription) -> None:
        self.file = ProcessFile.create(folder, "shop", {}, lambda: None)
        process_file._mappings.pop()  # this process is not the one whose mapping must stay
        self.path = self.file.path
        self.id = self.file.id
        self.buffers = []
        for pool in pools or (POOL,):
            buffer = self.file.take()
            assert buffer is not None
            buffer.slots[SLOT["active"]] = 1
            buffer.describe(pool)
            self.file.publish(buffer)
            self.buffers.append(buffer)

    def set(self, name: str, value: int, pool: int = 0, offset: int = 0) -> None:
        """Store a number into one of the slots of layout.SLOT."""
        self.buffers[pool].slots[SLOT[name] + offset] = value

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self.path.read_bytes()

    def end(self) -> None:
        """Release the lock and nothing else, as when the process is killed."""
        self.file.close()
