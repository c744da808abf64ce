"""The suite of pika. AMQP_URL=amqp://… python pika_main.py"""

import os

import kit
import pika_basic  # noqa: F401
import pika_connection  # noqa: F401
import pika_consume  # noqa: F401
import pika_objects  # noqa: F401

if os.environ.get("PRODUCT") == "Waxwing":
    import pika_own  # noqa: F401

if __name__ == "__main__":
    kit.run(width=6, case_seconds=60)
