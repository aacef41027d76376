"""The page's addresses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from acne_monitor.detector import Detector
from acne_monitor.following import add_photograph
from acne_monitor.history import GROUPS, History, change, correct
from acne_monitor.reports.chart import WIDTH, draw_chart
from acne_monitor.reports.pictures import data_url, lesion_map, load_photograph, shrink
from acne_monitor.reports.report import open_templates, render_report, visit_rows
from acne_monitor.serve.live import MAX_SIDE, Live
from acne_monitor.store.photographs import from_datetime
from acne_monitor.store.store import Store, StoreError
from acne_runtime.errors import AcneEdgeError
from acne_runtime.severity import NO_DIAGNOSIS

BURST = 10
_STATIC = {"page.css": "text/css", "live.js": "text/javascript", "compare.js": "text/javascript"}
_EVENTS_PER_S = 5.0

_TEMPLATES = open_templates("acne_monitor.serve", "acne_monitor.reports")


class Pages:
    """Answers requests.

    Attributes:
        live: The camera.
    """

    def __init__(self, folder: Path, live: Live, detector: Detector):
        """Prepares the pages.

        Args:
            folder: The store.
            live: The camera; started and stopped with the application.
            detector: Finds the lesions on photographs that are taken.
        """
        self._folder, self.live, self._detector = folder, live, detector
        self._adding = asyncio.Lock()

    def app(self) -> Starlette:
        """Returns the application."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            self.live.start()
            try:
                yield
            finally:
                self.live.stop()

        routes = [
            Route("/", self.live_page),
            Route("/history/{code}", self.history_page),
            Route("/compare/{code}", self.compare_page),
            Route("/report/{code}", self.report_page),
            Route("/ghost/{code}/{view}", self.ghost),
            Route("/photograph/{photo}", self.photograph),
            Route("/static/{name}", self.static),
            Route("/video", self.video),
            Route("/events", self.events),
            Route("/api/capture", self.capture, methods=["POST"]),
            Route("/api/correct", self.correct, methods=["POST"]),
        ]
        handlers = {AcneEdgeError: _explain, Exception: _failed}
        return Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)

    async def live_page(self, request: Request) -> Response:
        """The camera's picture, counts, hints and the shutter."""
        with Store(self._folder) as store:
            subjects = [row["code"] for row in store.all("SELECT code FROM subject ORDER BY code")]
            views = [row["view"] for row in store.all("SELECT DISTINCT view FROM photo ORDER BY view")]
        chosen = request.query_params.get("subject", subjects[0] if subjects else "")
        views = list(dict.fromkeys([*views, "front", "left", "right", "forehead", "chin"]))
        return self._page("live.html", "live", chosen, subjects=subjects, views=views, burst=BURST)

    async def history_page(self, request: Request) -> Response:
        """All visits of a subject."""
        code = request.path_params["code"]

        def read() -> dict[str, Any]:
            with Store(self._folder) as store:
                history = History(store, code)
                return {
                    "visits": visit_rows(history),
                    "chart": draw_chart(history),
                    "unseen": [visit.name for visit in history.visits if not visit.photographs],
                }

        values = await run_in_threadpool(read)
        return self._page("history.html", "history", code, **values, groups=list(GROUPS), chart_width=WIDTH)

    async def compare_page(self, request: Request) -> Response:
        """Two visits, one over the other."""
        code, asked = request.path_params["code"], request.query_params

        def read() -> dict[str, Any]:
            with Store(self._folder) as store:
                history = History(store, code)
                seen = [visit for visit in history.visits if visit.photographs]
                if len(seen) < 2:
                    return {"visits": seen, "views": [], "earlier": None, "later": None}
                earlier = history.visit(asked["from"]) if "from" in asked else seen[0]
                later = history.visit(asked["to"]) if "to" in asked else seen[-1]
                views = []
                for one in history.compare(earlier, later):
                    drawn = None if one.refused is not None else lesion_map(store, one)
                    urls = (None, None) if drawn is None else (data_url(drawn.earlier), data_url(drawn.later))
                    views.append({"comparison": one, "map": drawn, "urls": urls, "change": change([one])})
                return {"visits": seen, "views": views, "earlier": earlier, "later": later}

        return self._page("compare.html", "compare", code, **await run_in_threadpool(read))

    async def report_page(self, request: Request) -> Response:
        """The report, as `acne-monitor report` writes it."""

        def render() -> str:
            with Store(self._folder) as store:
                return render_report(store, History(store, request.path_params["code"]))

        return HTMLResponse(await run_in_threadpool(render))

    async def ghost(self, request: Request) -> Response:
        """The first photograph of a view, to take the next one in the same way."""
        code, view = request.path_params["code"], request.path_params["view"]

        def read() -> bytes | None:
            with Store(self._folder) as store:
                row = store.one(
                    "SELECT photo.id FROM photo JOIN visit ON visit.id = photo.visit JOIN subject ON subject.id = "
                    "visit.subject WHERE code = ? AND view = ? ORDER BY at_local LIMIT 1",
                    code, view,
                )  # fmt: skip
                return None if row is None else shrink(load_photograph(store, row["id"]), MAX_SIDE)

        jpeg = await run_in_threadpool(read)
        if jpeg is None:
            return PlainTextResponse("no photograph of this view yet", 404)
        return Response(jpeg, media_type="image/jpeg")

    async def photograph(self, request: Request) -> Response:
        """A photograph of the store."""
        with Store(self._folder) as store:
            row = store.one("SELECT jpeg FROM photo WHERE id = ?", request.path_params["photo"])
        if row is None:
            return PlainTextResponse("no such photograph", 404)
        return Response(row["jpeg"], media_type="image/jpeg")

    async def static(self, request: Request) -> Response:
        """Styles and scripts: those of a list, so that no path leads elsewhere."""
        name = request.path_params["name"]
        if name not in _STATIC:
            return PlainTextResponse("not found", 404)
        if name == "page.css":
            style = files("acne_monitor.reports").joinpath("templates/style.css").read_text()
            return Response(
                style + files("acne_monitor.serve").joinpath("static/page.css").read_text(), media_type="text/css"
            )
        return Response(files("acne_monitor.serve").joinpath("static", name).read_text(), media_type=_STATIC[name])

    async def video(self, _: Request) -> Response:
        """The annotated frames as Motion JPEG, the newest one each time the reader is ready."""

        async def parts() -> AsyncIterator[bytes]:
            number = 0
            while True:
                shown = await self.live.after(number)
                if shown.number <= number:  # stopped
                    return
                number = shown.number
                if shown.jpeg:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(shown.jpeg)}\r\n\r\n"
                    yield head.encode() + shown.jpeg + b"\r\n"

        return StreamingResponse(parts(), media_type="multipart/x-mixed-replace; boundary=frame")

    async def events(self, _: Request) -> Response:
        """Counts and hints as server-sent events."""

        async def parts() -> AsyncIterator[bytes]:
            number = 0
            while True:
                shown = await self.live.after(number)
                if shown.number <= number:
                    return
                number = shown.number
                yield f"data: {json.dumps(shown.info)}\n\n".encode()
                await asyncio.sleep(1 / _EVENTS_PER_S)

        return StreamingResponse(parts(), media_type="text/event-stream")

    async def capture(self, request: Request) -> Response:
        """Takes a burst and adds it to the visit of today."""
        asked = await _json(request, "subject", "view")
        view = asked["view"].strip()
        if not view or len(view) > 32 or not view.isprintable():
            raise StoreError("the view needs a short name, such as left")

        def take() -> dict[str, Any]:
            frames = self.live.take_burst(BURST)
            taken = from_datetime(datetime.now().astimezone(), "now")
            override = "page" if asked.get("override") else None
            with Store(self._folder) as store:
                added = add_photograph(store, asked["subject"], view, frames, taken, self._detector, override)
                history = History(store, asked["subject"], self._detector.model.manifest.digest)
            visit = next(one for one in history.visits if one.id == added.visit)
            return {
                "visit": visit.name,
                "counts": visit.photographs[view].counts(),
                "hints": list(added.quality.hints),
                "refused": added.refused,
                "first": added.is_first,
            }

        async with self._adding:
            return JSONResponse(await run_in_threadpool(take))

    async def correct(self, request: Request) -> Response:
        """Replaces what the model says of a lesion."""
        asked = await _json(request, "observation", "state")
        with Store(self._folder) as store:
            correct(store, asked["observation"], asked["state"], "page")
        return JSONResponse({"state": asked["state"]})

    def _page(self, template: str, name: str, code: str, **values: Any) -> Response:
        return HTMLResponse(
            _TEMPLATES.get_template(template).render(page=name, code=code, no_diagnosis=NO_DIAGNOSIS, **values)
        )


async def _json(request: Request, *names: str) -> dict[str, Any]:
    try:
        values = await request.json()
    except ValueError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(values.get(name), str) for name in names):
        raise StoreError(f"the request needs {' and '.join(names)}")
    return values


async def _explain(request: Request, error: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": str(error)}, 422)
    page = _TEMPLATES.get_template("problem.html").render(
        page="", code="", no_diagnosis=NO_DIAGNOSIS, problem=str(error)
    )
    return HTMLResponse(page, 404)


async def _failed(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"failed ({type(error).__name__}); the terminal says more", 500)
