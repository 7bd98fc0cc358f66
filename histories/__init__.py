"""Histories of faults on a real broker under load, and the oracles that judge what came out.

`tests/` plays a few of them in each run, and `bench/` plays many. An oracle shares no code with the service, and this
package imports neither `tests` nor `bench`.
"""
