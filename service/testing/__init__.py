"""For those who write detectors: one partition of the service, driven by hand, without Kafka.

Its task, memory, settings and alerts are the service's own; only the input and the clock come from the test.
Nothing here imports Kafka's client or reads a clock, and no room of the service imports this one.
"""

from service.core.detectors import ConfiguredDetector
from service.core.memory.failure import DetectorError
from service.core.memory.states import UnknownStateError
from service.settings import SettingsError
from service.testing.hand_driven import HandDrivenTask

__all__ = ["ConfiguredDetector", "DetectorError", "HandDrivenTask", "SettingsError", "UnknownStateError"]
