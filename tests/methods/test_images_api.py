"""The method images_api against a server that speaks each dialect: fields, refusals, waiting, nothing asked twice."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from made_records import kept, record
from PIL import Image

from t2ibench.core.errors import PartlyFailed, UserError
from t2ibench.core.settings import configure, recorded
from t2ibench.methods import images_api
from t2ibench.methods.images_api import Config, Method
from t2ibench.networks.models import Models
from t2ibench.report.compare import Margin, Margins, compare
from t2ibench.tracks.contract import Edit, TextToImage

KEY = "sk-secret-of-the-test"


class Server:
    """Answers each request by its prompt; `asked` are the bodies, `answers` the errors that come first."""

    def __init__(self, dialect: str) -> None:
        self.dialect, self.asked, self.answers = dialect, list[dict[str, Any]](), list[tuple[int, dict, dict]]()
        self.keys: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = received(self.headers["content-type"], self.rfile.read(int(self.headers["content-length"])))
                outer.keys.append(self.headers.get("authorization", ""))
                outer.asked.append(body)
                status, content, headers = outer.answer(self.path, body)
                data = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *words: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_port}/v1"

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict, dict]:
        if path != f"/v1/images/{'edits' if 'image' in body else 'generations'}":
            return 404, {"detail": "Not Found"}, {}
        if self.dialect == "openai" and {"seed", "response_format"} & body.keys():
            return 400, {"error": {"code": "unknown_parameter", "type": "invalid_request_error"}}, {}
        if "knife" in body["prompt"]:
            error = {
                "code": "moderation_blocked",
                "type": "image_generation_user_error",
                "message": body["prompt"],
                "moderation_details": {"moderation_stage": "output"},
            }
            return 400, {"error": error}, {}
        if self.answers:
            return self.answers.pop(0)
        width, height = map(int, body["size"].split("x"))
        if "wrong size" in body["prompt"]:
            width *= 2
        form = "JPEG" if self.dialect == "sglang" and body.get("output_format") != "png" else "PNG"
        colour = (int(body.get("seed", 7)) % 256, len(body["prompt"]) % 256, 9)
        if "image" in body:  # the edit keeps all but blue
            colour = (*Image.open(io.BytesIO(body["image"])).convert("RGB").tobytes()[:2], 200)
        file = io.BytesIO()
        Image.new("RGB", (width, height), colour).save(file, form)
        coded = base64.b64encode(file.getvalue()).decode()
        return 200, {"created": 1, "data": [{"b64_json": coded}] if "text alone" not in body["prompt"] else []}, {}


def received(content_type: str, data: bytes) -> dict[str, Any]:
    """The fields of JSON, or of a form with a file."""
    if content_type == "application/json":
        return json.loads(data)
    parts = message_from_bytes(f"content-type: {content_type}\r\n\r\n".encode() + data, policy=HTTP).iter_parts()
    return {str(part.get_param("name", header="content-disposition")): part.get_content() for part in parts}


@pytest.fixture(params=["openai", "vllm-omni", "sglang"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(request.param)
    yield made
    made.http.shutdown()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(images_api.time, "sleep", pauses.append)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return pauses


def method(server: Server, tmp_path: Any, **given: Any) -> Method:
    settings = {"endpoint": server.address, "model": "m", "dialect": server.dialect, "size": "24x16", **given}
    return Method(configure(Config, settings, "ours"), Models(cache=tmp_path))


def asked(*prompts: str) -> list[TextToImage]:
    return [TextToImage(prompt, 2**40 + row) for row, prompt in enumerate(prompts)]


def test_each_dialect_gets_the_fields_that_it_knows(server, tmp_path):
    images = method(server, tmp_path).text_to_image(asked("a bird", "a red bird"))
    assert images.shape == (2, 3, 16, 24)
    by_prompt = {body["prompt"]: body for body in server.asked}
    body = by_prompt["a red bird"]
    assert (body["n"], body["size"], body["output_format"], body["model"]) == (1, "24x16", "png", "m")
    seeded = server.dialect != "openai"
    assert body.get("seed") == (((2**40 + 1) % 2**32) if seeded else None)
    assert images[1, :, 0, 0].tolist() == [1 if seeded else 7, len("a red bird"), 9]
    assert method(server, tmp_path).unseeded is not seeded


def test_what_it_has_is_not_asked_for_again_and_the_key_is_in_no_file(server, tmp_path):
    first = method(server, tmp_path).text_to_image(asked("a bird", "a cat"))
    again = method(server, tmp_path).text_to_image(asked("a bird", "a cat", "a dog"))
    assert (again[:2] == first).all()
    assert len(server.asked) == 3
    assert set(server.keys) == {f"Bearer {KEY}"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 6
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in str(recorded(method(server, tmp_path).config))


def test_a_refusal_is_an_outcome_with_its_code_and_never_asked_again(server, tmp_path):
    for _ in range(2):
        with pytest.raises(PartlyFailed) as failed:
            method(server, tmp_path).text_to_image(asked("a bird", "a knife", "wrong size", "text alone"))
        reasons = failed.value.reasons
        assert reasons[1] == "refused: 400 moderation_blocked, output"
        assert reasons[2] == "the image has 48x16 pixels, 24x16 was asked for"
        assert "holds no image" in reasons[3]
        assert 0 not in reasons
    assert len(server.asked) == 4


def test_an_edit_sends_the_image_before_it_and_each_source_is_drawn_once(server, tmp_path):
    requests = [Edit("a bird", text, 2**40 + row) for text in ("a red bird", "a blue bird") for row in range(2)]
    made = method(server, tmp_path).edit(requests)
    before = method(server, tmp_path).unedited(requests)
    assert made.shape == (4, 3, 16, 24)
    assert (made[:, :2] == before[:, :2]).all()
    assert (made[:, 2] == 200).all()
    drawn = [body for body in server.asked if "image" not in body]
    edits = sorted((b for b in server.asked if "image" in b), key=lambda b: (b["prompt"], b.get("seed")), reverse=True)
    assert (len(drawn), len(edits)) == (2, 4)
    assert edits[0]["prompt"] == "Change the image so that it shows a red bird. Change nothing else."
    seeded = server.dialect != "openai"
    assert edits[0].get("seed") == ("1" if seeded else None)
    assert {edits[0][name] for name in ("n", "size", "output_format")} == {"1", "24x16", "png"}
    method(server, tmp_path).edit(requests)
    assert len(server.asked) == 6
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_a_real_image_is_edited_as_it_is_and_has_the_size_of_the_answer(server, tmp_path):
    image = np.full((3, 16, 24), 50, np.uint8)
    made = method(server, tmp_path, instruction="{}").edit([Edit("", "a cat", 0, image)])
    assert made[0, :, 3, 3].tolist() == [50, 50, 200]
    assert [body["prompt"] for body in server.asked] == ["a cat"]
    with pytest.raises(UserError, match="an image to edit has 16x16 pixels, 24x16 is asked for"):
        method(server, tmp_path).unedited([Edit("", "a cat", 0, image[:, :, :16])])


def test_without_its_source_an_edit_fails_with_the_reason(server, tmp_path):
    with pytest.raises(PartlyFailed) as failed:
        method(server, tmp_path).edit([Edit("a knife", "a cat", 0), Edit("a bird", "a knife", 1), Edit("a", "b", 2)])
    assert failed.value.reasons == {
        0: "there is no image to edit: refused: 400 moderation_blocked, output",
        1: "refused: 400 moderation_blocked, output",
    }
    assert failed.value.images[2].any()


def test_a_busy_server_is_asked_again_as_it_says(server, tmp_path, no_pauses):
    server.answers = [(429, {}, {"retry-after-ms": "1500"}), (503, {}, {"retry-after": "3"}), (500, {}, {})]
    method(server, tmp_path).text_to_image(asked("a bird"))
    assert no_pauses[:2] == [1.5, 3.0]
    assert 1.5 <= no_pauses[2] <= 2.0
    assert len(server.asked) == 4


def test_a_server_that_stays_busy_fails_the_sample_and_is_asked_again_by_the_next_run(server, tmp_path):
    server.answers = [(500, {}, {})] * 3
    with pytest.raises(PartlyFailed, match="500, after 3 tries"):
        method(server, tmp_path, tries=3).text_to_image(asked("a bird"))
    assert len(method(server, tmp_path).text_to_image(asked("a bird"))) == 1


def test_a_wait_of_more_than_two_minutes_is_not_waited_for(server, tmp_path, no_pauses):
    server.answers = [(429, {}, {"retry-after": "3600"})]
    with pytest.raises(PartlyFailed, match="429, after 1 tries"):
        method(server, tmp_path).text_to_image(asked("a bird"))
    assert no_pauses == []
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    assert images_api.wait(0, {"retry-after": date}) == pytest.approx(30, abs=3)
    assert images_api.wait(0, {"retry-after": "soon"}) == pytest.approx(0.45, abs=0.08)


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (401, {"error": {"code": "invalid_api_key"}}, "check the key of OPENAI_API_KEY"),
        (429, {"error": {"code": "insufficient_quota"}}, "insufficient_quota: the same command goes on"),
        (404, {"detail": "Not Found"}, r"answers 404 .*check the address"),
    ],
)
def test_what_no_waiting_mends_ends_the_run_in_one_line(server, tmp_path, status, content, message):
    server.answers = [(status, content, {})]
    with pytest.raises(UserError, match=message) as error:
        method(server, tmp_path).text_to_image(asked("a bird"))
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": "big"}, "expected width x height"),
        ({"endpoint": "localhost:8000"}, "expected an address"),
        ({"steps": 20}, "openai takes neither steps nor guidance"),
        ({"instruction": "do it"}, "expected {} where the text stands"),
        ({"tries": 0}, "tries is 0, expected at least 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_one_line(wrong, message):
    with pytest.raises(UserError, match=message):
        configure(Config, {"endpoint": "http://localhost/v1", **wrong}, "ours")


def test_images_without_seeds_are_not_paired_by_them():
    sides = [record(name, {"hue": kept([0.1, 0.5, 0.9])}) for name in ("a", "b")]
    margins = Margins(Margin(0.05), {})
    assert compare(sides[:1], sides[1:], margins).seeds == (0,)
    served = record("b", {"hue": kept([0.1, 0.5, 0.9])}, facts={"unseeded": True})
    assert compare(sides[:1], [served], margins).seeds == ()


def test_nobody_at_the_address_is_a_reason_and_no_traceback(tmp_path):
    config = configure(Config, {"endpoint": "http://127.0.0.1:9/v1", "size": "8x8", "tries": 1}, "ours")
    with pytest.raises(PartlyFailed) as failed:
        Method(config, Models(cache=tmp_path)).text_to_image(asked("a bird"))
    assert "ConnectionError, after 1 tries" in failed.value.reasons[0]
    assert tuple(failed.value.images.shape) == (1, 3, 8, 8)
