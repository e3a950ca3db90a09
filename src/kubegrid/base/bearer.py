"""The check of `Authorization: Bearer SECRET`, the same on every HTTP port of a grid.

In constant time, and on bytes: what a header holds beyond ASCII is for the two web servers to hand over unchanged.
"""

import hmac

REFUSAL = "this grid has a secret: Authorization: Bearer SECRET is missing or wrong"


def admits(secret: bytes | None, authorization: bytes) -> bool:
    """Whether a request with this header (empty: without one) may pass; every request may where there is no secret."""
    return secret is None or hmac.compare_digest(authorization, b"Bearer " + secret)
