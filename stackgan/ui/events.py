"""How events reach the model: one at a time through one queue of bounded length."""

MAX_WAITING = 32  # more are told that the page is busy

ONE_AT_A_TIME = {"concurrency_id": "model", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private"}  # the page's own event, no endpoint of the API
