"""What detectors remember: states by detector and key, for one partition, and the alerts that follow from them.

Every change is staged first, and counts once its txn has committed. Deadlines are part of the states, kept in heaps.
Detectors know nothing of this room; the task owns one Memory, and the loop tells it how each txn ended.
"""
