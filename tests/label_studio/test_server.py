"""The backend over HTTP, with requests as Label Studio sends them."""

import asyncio
import io
import threading
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="needs the extra viewer")

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamseg.cli.label_studio import MAX_PIXELS, decode_limited
from streamseg.errors import DataError
from streamseg.label_studio.images import ImagePlaces
from streamseg.label_studio.server import MAX_WAITING, Backend
from streamseg.structures.prompt import BoxPrompt, PointPrompt
from tests.label_studio.test_brush import decode
from tests.label_studio.test_regions import CONFIG, click, rectangle
from tests.support.messages import make_object
from tests.support.waiting import WAIT_SECONDS

SIZE = (48, 64)
IMAGE = np.full((*SIZE, 3), 90, np.uint8)
JSON = {"Content-Type": "application/json"}
JPEG = cv2.imencode(".jpg", IMAGE)[1].tobytes()


def select(image, prompt):
    """Select the left or right of two objects, by the place of the prompt: an instance of `ImageObjects`."""
    objects = [make_object(np.ones((32, 16), np.bool_), x, 8, score=0.9) for x in (4, 40)]
    match prompt:
        case PointPrompt(point_coords=((x, y), *_)):
            return [one for one in objects if one.box[0] <= x < one.box[2] and one.box[1] <= y < one.box[3]]
        case BoxPrompt(box=(x0, _, _, _)):
            if x0 > SIZE[1]:
                raise DataError("the box lies outside the image")
            return [min(objects, key=lambda one: abs(one.box[0] - x0))]
    return objects


@pytest.fixture
def root(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    return tmp_path


def backend(places, selects=select, **settings):
    return Backend(selects, places, decode=decode_limited, model_version="test", **settings)


def call(served, *requests):
    """Return (status, JSON) of requests (method, path, options), one after the other."""

    async def work():
        async with TestClient(TestServer(served.application())) as client:
            found = []
            for method, path, options in requests:
                response = await client.request(method, path, **options)
                found.append((response.status, await response.json()))
            return found

    return asyncio.run(work())


def prediction(image="/data/local-files/?d=a.jpg", regions=(), **changes):
    """A request for a prediction, with the keys of the interactive mode."""
    task = {"id": 7, "data": {"image": image}, "meta": {}, "annotations": [], "predictions": []}
    context = {"context": {"result": list(regions)}} if regions else {}
    params = {"login": None, "password": None, **context}
    body = {"tasks": [task], "project": "3.1700000000", "label_config": CONFIG, "params": params, **changes}
    return "POST", "/predict", {"json": body}


def alpha(region):
    return decode(region["value"]["rle"]).reshape(*SIZE, 4)[..., 3] > 0


def test_health_and_setup(root):
    setup = {"project": "3.17", "schema": CONFIG, "hostname": "http://localhost:8080", "access_token": "abc"}
    found = call(
        backend(ImagePlaces(root, None)),
        ("GET", "/health", {}),
        ("GET", "/", {}),
        ("POST", "/setup", {"json": setup}),
        ("POST", "/webhook", {"json": {"action": "ANNOTATION_CREATED"}}),
        ("POST", "/setup", {"json": {**setup, "schema": "<View/>"}}),
    )
    assert found[0] == found[1] == (200, {"status": "UP", "model_class": "streamseg"})
    assert found[2:4] == [(200, {"model_version": "test"}), (200, {})]
    assert found[4][0] == 400
    assert "BrushLabels" in found[4][1]["error"]


def test_a_click_and_a_rectangle_select_one_object_each(root):
    right = rectangle(100 * 40 / 64, 100 * 8 / 48, 25, 100 * 32 / 48)
    found = call(
        backend(ImagePlaces(root, None)),
        prediction(regions=[click(100 * 12 / 64, 50)]),
        prediction(regions=[right]),
        prediction(),
    )
    assert [status for status, _ in found] == [200] * 3
    results = [body["results"][0] for _, body in found]
    assert [len(one["result"]) for one in results] == [1, 1, 2]
    [clicked], [boxed], everything = (one["result"] for one in results)
    assert (alpha(clicked)[24, 12], alpha(clicked)[24, 48]) == (True, False)
    assert (alpha(boxed)[24, 12], alpha(boxed)[24, 48]) == (False, True)
    assert clicked["value"]["brushlabels"] == ["Car"]
    assert boxed["value"]["brushlabels"] == everything[0]["value"]["brushlabels"] == ["Airplane"]
    assert results[0]["model_version"] == "test"
    assert 0 < results[0]["score"] <= 1


def test_a_click_on_nothing_has_no_regions(root):
    [(status, body)] = call(backend(ImagePlaces(root, None)), prediction(regions=[click(50, 95)]))
    assert (status, body["results"][0]["result"]) == (200, [])


def test_of_several_tasks_a_bad_one_does_not_harm_the_others(root):
    tasks = [{"id": 1, "data": {"image": name}} for name in ("a.jpg", "../a.jpg")] + [{"id": 3}, "x"]
    [(status, body)] = call(backend(ImagePlaces(root, None)), prediction(tasks=tasks))
    assert status == 200
    assert [len(one["result"]) for one in body["results"]] == [2, 0, 0, 0]
    assert "is not below the folder" in body["results"][1]["error"]


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        pytest.param(prediction("/data/local-files/?d=../x"), 400, "is not below the folder", id="outside"),
        pytest.param(prediction("http://evil/a.jpg"), 400, "are not downloaded", id="another server"),
        pytest.param(prediction("text.jpg"), 400, "text.jpg", id="no image"),
        pytest.param(prediction(tasks=[]), 400, "1 to 64 tasks", id="no task"),
        pytest.param(prediction(tasks=[{}] * 65), 400, "1 to 64 tasks", id="too many tasks"),
        pytest.param(prediction(label_config=None), 400, "not valid XML", id="no configuration"),
        pytest.param(prediction(regions=[click("x", 1)]), 400, "finite number", id="bad click"),
        pytest.param(prediction(regions=[rectangle(150, 150, 9, 9)]), 400, "outside", id="outside of the image"),
        pytest.param(("POST", "/predict", {"json": []}), 400, "must be a JSON object", id="a list"),
        pytest.param(("POST", "/predict", {"data": b"{}"}), 415, "application/json", id="another type"),
        pytest.param(
            ("POST", "/predict", {"data": b"{", "headers": JSON}),
            400,
            "not valid JSON",
            id="no JSON",
        ),
        pytest.param(
            ("POST", "/predict", {"data": io.BytesIO(b" " * (5 << 20)), "headers": JSON}),
            413,
            "exceeded",
            id="too long",
        ),
        pytest.param(("GET", "/predict", {}), 405, "Method Not Allowed", id="another method"),
        pytest.param(("GET", "/../../etc/passwd", {}), 404, "Not Found", id="another path"),
    ],
)
def test_bad_requests_have_one_line(root, request_, status, message):
    (root / "text.jpg").write_text("no image")
    [(found, body)] = call(backend(ImagePlaces(root, None)), request_)
    assert found == status
    assert message in body["error"]
    assert "\n" not in body["error"]


def test_other_names_of_the_machine_are_refused_unless_it_is_public(root):
    request = ("GET", "/health", {"headers": {"Host": "evil.example:9090"}})
    [(status, body)] = call(backend(ImagePlaces(root, None)), request)
    assert (status, body["error"]) == (403, "this backend is reached as localhost or 127.0.0.1 only")
    [(status, _)] = call(backend(ImagePlaces(root, None), is_local=False), request)
    assert status == 200


def test_large_images_are_refused_before_they_are_decoded(root):
    # A PNG whose header claims more pixels than are allowed.
    png = bytearray(cv2.imencode(".png", IMAGE)[1].tobytes())
    png[16:24] = (20_000).to_bytes(4) + (20_000).to_bytes(4)
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4)
    (root / "bomb.png").write_bytes(png)
    [(status, body)] = call(backend(ImagePlaces(root, None)), prediction("bomb.png"))
    assert (status, body["error"]) == (400, f"bomb.png has 20000x20000 pixels; at most {MAX_PIXELS} are allowed")


def test_images_of_label_studio_are_downloaded_with_its_token():
    seen = []

    async def upload(request):
        seen.append(request.headers.get("Authorization"))
        if request.match_info["name"] == "moved.jpg":
            raise web.HTTPFound("http://127.0.0.1:1/a.jpg")
        return web.Response(body=JPEG if request.match_info["name"] == "a.jpg" else b"", status=200)

    async def work():
        studio = web.Application()
        studio.add_routes([web.get("/data/upload/{name}", upload)])
        async with TestServer(studio) as served:
            origin = f"http://{served.host}:{served.port}"
            own = backend(ImagePlaces(None, origin), token="secret")
            async with TestClient(TestServer(own.application())) as client:
                bodies = []
                for name in ("/data/upload/a.jpg", f"{origin}/data/upload/a.jpg", "/data/upload/moved.jpg"):
                    method, path, options = prediction(name)
                    response = await client.request(method, path, **options)
                    bodies.append(await response.json())
                return bodies

    first, second, moved = asyncio.run(work())
    assert [len(body["results"][0]["result"]) for body in (first, second)] == [2, 2]
    assert "status 302" in moved["error"], "a redirection could lead anywhere"
    assert seen == ["Token secret"] * 3


def test_requests_that_cannot_be_served_soon_are_refused(root):
    release = threading.Event()

    def wait(image, prompt):
        release.wait(WAIT_SECONDS)
        return ()

    async def work():
        async with TestClient(TestServer(backend(ImagePlaces(root, None), wait).application())) as client:
            _, path, options = prediction("a.jpg")
            waiting = [asyncio.create_task(client.post(path, **options)) for _ in range(MAX_WAITING + 3)]
            done, _ = await asyncio.wait(waiting, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            refused = {one.result().status for one in done}
            release.set()
            return refused, sorted([(await one).status for one in waiting])

    refused, statuses = asyncio.run(work())
    assert refused == {503}
    assert statuses == [200] * MAX_WAITING + [503] * 3
