"""JSON that anybody may have written."""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str | bytes) -> Any:
    """Return the value in a JSON document.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or holds text that UTF-8 cannot encode
            (half a surrogate pair), which no file or terminal would take.
    """
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("the values are nested too deeply") from error
    return value
