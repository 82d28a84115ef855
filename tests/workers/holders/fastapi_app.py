"""The same endpoints in FastAPI."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from tests.workers.holders import work

router = APIRouter(prefix="/shop")


@router.get("/frequent/{order}")
async def frequent(order: str) -> str:
    work.use()
    return order


@router.get("/slow/{order}")
def slow(order: str) -> str:
    work.hold_until_released()
    return order


@router.get("/leak/{order}")
async def leak(order: str) -> str:
    work.leak()
    return order


app = FastAPI()
app.include_router(router)
