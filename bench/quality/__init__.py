"""How good the detectors are: on generated card payments, on synthetic cases, and on a folder of the Numenta benchmark.

Data is generated from a seed, or read from a folder that the caller names. The judging is the product's own: its core,
the tallies of `backtest`, and `train`. docs/quality.md has the figures.
"""
