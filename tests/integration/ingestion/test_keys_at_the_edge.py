"""Keys at the running API: how soon they end, and that they are never written anywhere."""

from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from sqlalchemy import Engine

from storage.control.keys import issue_key, list_keys, revoke_key
from storage.settings import StorageSettings
from tests.fixtures.issuer import AUDIENCE, ISSUER, running_issuer
from tests.integration.ingestion.processes import running_api
from tests.unit.ingestion.builders import encode, engagement, product

pytestmark = pytest.mark.integration
PRIVATE = "a-private-value-of-the-payload"


@pytest.mark.feature("S1-4")
@pytest.mark.feature("S2-F6")
def test_keys_end_within_five_seconds_and_neither_they_nor_payloads_are_logged(
    kafka_bootstrap: str, storage_settings: StorageSettings, engine: Engine, tmp_path: Path
) -> None:
    key, other, read = (
        issue_key(engine, app, kind) for app, kind in (("shop", "write"), ("b", "write"), ("shop", "read"))
    )
    log = tmp_path / "api.log"
    with running_issuer() as issuer, log.open("ab") as output:
        tokens = {
            "TIDEMARK_TOKENS_JWKS_URL": issuer.url,
            "TIDEMARK_TOKENS_ISSUER": ISSUER,
            "TIDEMARK_TOKENS_AUDIENCE": AUDIENCE,
        }
        with running_api(kafka_bootstrap, storage_settings.database_url, log=output, **tokens) as api:

            def post(credential: str | None, event: dict[str, object]) -> int:
                headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
                return api.client.post("/events", content=encode(event), headers=headers).status_code

            named = product(app_id="shop", properties={"note": PRIVATE})
            assert post(key.plaintext, named) == 200
            assert post(None, named) == 401
            assert post(other.plaintext, named) == 403
            assert post(read.plaintext, named) == 403
            assert post(key.plaintext + "x", named) == 401
            assert post(None, product(app_id="nobody", event_id="n")) == 200
            assert post(issuer.token(), named) == 200
            assert post(issuer.token(scope="read"), named) == 403
            assert post(issuer.token(exp=1), named) == 401
            assert post(key.plaintext, engagement(note=PRIVATE)) == 422
            issuer.is_down = True
            assert post(issuer.token(headers={"kid": "unknown"}), named) == 401
            assert revoke_key(engine, key.record.key_id)
            revoked_at = monotonic()
            while post(key.plaintext, named) == 200:
                sleep(0.02)
            seconds = monotonic() - revoked_at
            commands = [psutil.Process(api.process.pid), *psutil.Process(api.process.pid).children(recursive=True)]
            command_lines = " ".join(" ".join(process.cmdline()) for process in commands)
    assert seconds < 5, seconds
    assert all(record.last_used_at is not None for record in list_keys(engine) if record.app_id == "shop")
    written = log.read_text() + command_lines
    assert "ingestion.api" in command_lines
    for secret in (key.plaintext, other.plaintext, read.plaintext, issuer.token().split(".")[0], PRIVATE):
        assert secret not in written
