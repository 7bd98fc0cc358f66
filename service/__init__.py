"""txwatch: finds anomalous transactions in a Kafka stream."""

from typing import Final

__version__: Final = "0.1.0"
