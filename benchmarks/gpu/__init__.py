"""Measure an NVIDIA GPU within minutes, and prepare a folder that does so on a machine without this environment.

cases      what is measured: sizes, batches, networks with seeded weights, floors
plan       in which order, and with how much time each
workers    the process that measures; it is replaced if it fails or hangs
runs       carries a plan out: the state of each measurement is on disk at any time
modes      the engines
measure    one measurement, by its kind: `frames` here
check      `check`: results against those of the CPU
stages     `stages`: parts of the step on the device, by CUDA events
live       `live`: capture to publish through the runtime
lines      results as text
pack       the folder for another machine
"""
