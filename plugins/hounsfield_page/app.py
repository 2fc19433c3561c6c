"""The application that Airflow mounts: its pages, and each way they can fail, as HTML."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import cache
from itertools import groupby
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as StarletteHTTPException

from hounsfield.catalog.models import Orphan, Product, QuarantineItem
from hounsfield.errors import ConfigError, NotFound
from hounsfield.site import Site
from hounsfield.stages.costs import costs
from hounsfield_page import review as reviewing
from hounsfield_page import shown
from hounsfield_page.access import Reader, Reviewer, may_read_audit, may_review, require_reader
from hounsfield_page.question import PAGE_SIZE, Question

__all__ = ["app"]

log = logging.getLogger(__name__)

#: What a page that cannot be shown says. None quotes what was asked for.
FAILURES = {
    401: ("Not logged in", "Airflow knows no session of yours. Log in, then come back."),
    403: ("Not allowed", "This page is for those who may read the task logs of the pipeline."),
    404: ("Not found", "There is no such study or page."),
    405: ("Not possible", "These pages are for reading only."),
    422: ("Not understood", "The search is too long, or a date or page number is not one."),
    503: ("Not available", "The catalog does not answer. The API server's log says more."),
}

#: Shown at most; the command lists them all.
MOST_ORPHANS = 500

#: What a study's pseudonym is made of; anything else has no page, and reaches no database.
StudyKey = Annotated[str, Path(pattern=r"^[\w-]{1,64}$")]

templates = Jinja2Templates(directory=FilePath(__file__).with_name("templates"))
templates.env.globals["shown"] = shown
templates.env.filters |= {"duration": shown.duration, "moment": shown.moment, "day": shown.day}

# No OpenAPI schema, no documentation, no redirects: nothing answers without the dependency.
app = FastAPI(
    title="Hounsfield",
    dependencies=[Depends(require_reader)],
    openapi_url=None,
    docs_url=None,
    redoc_url=None,
    redirect_slashes=False,
)


@app.get("/", response_class=HTMLResponse)
def studies(request: Request, asked: Annotated[Question, Query()]) -> HTMLResponse:
    """The searchable list."""
    search, criteria = site().catalog.search, asked.criteria
    rows, total = search(**criteria, limit=PAGE_SIZE, offset=asked.offset)
    counts = {s: search(**{**criteria, "state": s}, limit=0)[1] for s in ("", *shown.STATES)}
    return page(
        request,
        "studies.html",
        studies=rows,
        total=total,
        pages=max(1, -(-total // PAGE_SIZE)),
        asked=asked,
        counts=counts,
    )


@app.get("/storage", response_class=HTMLResponse)
def storage(request: Request) -> HTMLResponse:
    """What lies in each tier and what it costs, by month; and what nobody names."""
    rows = costs(site())
    orphans = select(Orphan).order_by(Orphan.place, Orphan.uri).limit(MOST_ORPHANS)
    return page(
        request,
        "storage.html",
        currency=site().settings.tiers.currency,
        months=[(month, list(group)) for month, group in groupby(rows, lambda row: row.month)],
        orphans=site().catalog.all(orphans),
    )


@app.get("/studies/{study_key}", response_class=HTMLResponse)
def study(request: Request, study_key: StudyKey, reader: Reader) -> HTMLResponse:
    """One study: each event from arrival to delivery, and who opened its PHI."""
    catalog = site().catalog
    try:
        row = catalog.study(study_key)
    except NotFound:
        raise HTTPException(404) from None
    products = select(Product).where(Product.study_key == study_key)
    refusals = select(QuarantineItem).where(QuarantineItem.study_key == study_key)
    return page(
        request,
        "study.html",
        study=row,
        runs=list(shown.runs_of(catalog.timeline(study_key))),
        predictions=catalog.predictions(study_key),
        deliveries=catalog.deliveries(study_key),
        refusals=catalog.all(refusals.order_by(QuarantineItem.id)),
        products=catalog.all(products.order_by(Product.created_at, Product.product_id)),
        accesses=list(site().audit.entries(study_key)) if may_read_audit(reader) else None,
        review=row.state == "review" and may_review(reader),
    )


@app.get("/studies/{study_key}/review", response_class=HTMLResponse)
def review(request: Request, study_key: StudyKey, reviewer: Reviewer) -> HTMLResponse:
    """What the gate is in doubt about, with the pictures. Shows PHI, and writes down to whom."""
    question = reviewing.find(site(), study_key)
    if question is None:
        raise HTTPException(404)
    reviewing.write_down(site(), question, reviewer)
    request.state.policy = "img-src data:; connect-src 'self'; "
    return page(
        request,
        "review.html",
        review=question,
        shown_regions=reviewing.regions(site(), question),
        answer=reviewing.address(question),
        decisions=reviewing.DECISIONS,
        reasons=reviewing.REASONS,
        against=reviewing.AGAINST,
        room=reviewing.ROOM,
    )


@app.exception_handler(StarletteHTTPException)
def refuse(request: Request, error: StarletteHTTPException) -> HTMLResponse:
    """Also for paths and methods that are none of ours; says nothing about any study."""
    return failure(request, error.status_code)


@app.exception_handler(RequestValidationError)
def refuse_question(request: Request, error: RequestValidationError) -> HTMLResponse:
    """A key that is none is a page that is not there; the rest is a search that is none."""
    in_path = error.errors()[0]["loc"][0] == "path"
    return failure(request, 404 if in_path else 422)


@app.exception_handler(SQLAlchemyError)
@app.exception_handler(ConfigError)
def apologise(request: Request, error: Exception) -> HTMLResponse:
    log.error("The Hounsfield page cannot read the catalog: %s", type(error).__name__)
    return failure(request, 503)


@app.middleware("http")
async def protect(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """No copy of a page is kept, no address travels on, no script runs but the page's own."""
    nonce = request.state.nonce = secrets.token_urlsafe(16)
    request.state.policy = ""
    response = await call_next(request)
    response.headers.update(
        {
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
                f"{request.state.policy}"
                "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
            ),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
    )
    return response


def page(request: Request, name: str, *, code: int = 200, **context: Any) -> HTMLResponse:
    """A template with what each of them needs: where the page and Airflow itself are."""
    home = request.scope["root_path"]
    context |= {
        "home": f"{home}/",
        "airflow": home.removesuffix("/hounsfield") + "/",
        "nonce": request.state.nonce,
    }
    return templates.TemplateResponse(request, name, context, status_code=code)


def failure(request: Request, code: int) -> HTMLResponse:
    title, sentence = FAILURES.get(code, ("Not possible", "The request cannot be answered."))
    return page(request, "failure.html", code=code, title=title, sentence=sentence, number=code)


@cache
def site() -> Site:
    """The installation; opened at the first request, not when Airflow loads its plugins."""
    return Site.open()
