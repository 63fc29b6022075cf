"""What operators and orchestrators are told."""

from pathlib import Path

from flask.testing import FlaskClient

from examples.flask_demo.frontend.admin import make_admin_app, serve_beside
from examples.flask_demo.frontend.metrics import Metrics
from examples.flask_demo.service_tokens import PUBLISHED, Verifier
from tests.examples.web.frontend.surroundings import PUBLIC_URL, Recorder, System, system, told
from tests.services.processes import free_port


def admin_of(made: System) -> FlaskClient:
    parts = made.frontend
    app = make_admin_app(sessions=parts.sessions, client=parts.client, keys=parts.keys, metrics=parts.metrics)
    return app.test_client()


def test_a_front_end_with_all_it_needs_is_ready(web: System) -> None:
    admin = admin_of(web)

    ready = admin.get("/ready")

    assert admin.get("/health").status_code == 200
    assert (ready.status_code, told(ready)["dependencies"]) == (200, {"redis": "ok", "orchestrator": "ok"})


def test_a_front_end_without_what_it_needs_lives_and_is_not_ready(issuer: str, tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"

    with system(tmp_path, f"redis://{nowhere}", issuer, f"http://{nowhere}") as made:
        admin = admin_of(made)
        ready = admin.get("/ready")
        assert admin.get("/health").status_code == 200

    assert ready.status_code == 503
    assert told(ready)["dependencies"] == {"redis": "unavailable", "orchestrator": "unavailable"}


def test_orchestrators_check_tokens_by_the_keys_that_are_published(web: System) -> None:
    port = free_port()
    server = serve_beside(admin_of(web).application, "127.0.0.1", port)
    try:
        keys = f"http://127.0.0.1:{port}{PUBLISHED}"
        token = web.frontend.keys.issue("u_1", issuer=PUBLIC_URL, audience="orchestrator")
        assert Verifier(keys, issuer=PUBLIC_URL, audience="orchestrator").verify_blocking(token).user == "u_1"
    finally:
        server.shutdown()
        server.server_close()


def test_the_public_keys_are_the_same_on_both_listeners(web: System) -> None:
    answer = web.browser().get(PUBLISHED)

    assert told(answer) == told(admin_of(web).get(PUBLISHED))
    assert all(set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"} for key in told(answer)["keys"])


def test_figures_tell_of_routes_and_of_no_users(web: System, upstream: Recorder) -> None:
    browser = web.browser()
    browser.sign_in("Ann")
    browser.get("/api/v1/conversations/c_of_ann")
    browser.get("/sign-out-of/ann")

    text = admin_of(web).get("/metrics").text

    assert 'web_requests_total{method="GET",route="/api/v1/<path:path>",status="200"} ' in text
    assert 'route="unknown",status="404"' in text
    assert f'web_upstream_requests_total{{orchestrator="{upstream.url}",outcome="answered"}}' in text
    assert "ann" not in text.lower()


def test_figures_are_in_the_form_of_prometheus() -> None:
    metrics = Metrics()
    metrics.add("web_refused_total", reason='a "b"\n\\')
    metrics.add("web_stream_readers", 2)
    metrics.add("web_stream_readers", -1)
    metrics.took(0.01, route="/")
    metrics.took(99, route="/")

    lines = metrics.text().splitlines()

    assert 'web_refused_total{reason="a \\"b\\"\\n\\\\"} 1' in lines
    assert "web_stream_readers 1" in lines
    assert 'web_request_seconds_bucket{route="/",le="0.005"} 0' in lines
    assert 'web_request_seconds_bucket{route="/",le="0.02"} 1' in lines
    assert 'web_request_seconds_bucket{route="/",le="15"} 1' in lines
    assert 'web_request_seconds_bucket{route="/",le="+Inf"} 2' in lines
    assert 'web_request_seconds_count{route="/"} 2' in lines
