"""The confluent-kafka suite. BOOTSTRAP=HOST:PORT python confluent_main.py"""

import runner
import confluent_produce  # noqa: F401
import confluent_consume  # noqa: F401
import confluent_admin  # noqa: F401

runner.run(width=6, case_seconds=60)
