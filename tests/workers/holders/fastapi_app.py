"""The same endpoints in FastAPI, each of another kind."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse

from tests.workers.holders import work

router = APIRouter(prefix="/shop")
reports = FastAPI()


@router.get("/frequent/{order}")
async def frequent(order: str) -> str:
    work.use()
    return order


@router.get("/call/{order}", dependencies=[Depends(work.open_session)])
def call(order: str) -> str:
    work.call_other_service()
    return order


@reports.get("/lock/{order}")
def lock(order: str) -> str:
    work.wait_for_lock()
    return order


@router.get("/leak/{order}")
async def leak(order: str, tasks: BackgroundTasks) -> str:
    tasks.add_task(work.leak)
    return order


@router.get("/drop/{order}")
async def drop(order: str) -> StreamingResponse:
    def produce() -> Iterator[str]:
        work.drop()
        yield order

    return StreamingResponse(produce())


app = FastAPI()
app.include_router(router)
app.mount("/reports", reports)
