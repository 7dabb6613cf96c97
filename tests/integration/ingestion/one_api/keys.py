"""Write keys that an API which runs already knows of."""

import time

from sqlalchemy import Engine

from storage.control.keys import create_key

# The API reads the keys again for one that it does not know, but no more than ten times a second.
_SECONDS = 0.15


def known_key(engine: Engine, app_id: str) -> str:
    """A new write key of an app, as soon as the API takes it."""
    key = create_key(engine, app_id, "write")
    time.sleep(_SECONDS)
    return key
