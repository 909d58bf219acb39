"""Cameras on many workers, and folders of files: more than one process, and more than one machine.

    cameras.yaml ─► placement ─► controller ─► link ─► CameraWorker (process or Ray actor) ─┐ messages
                        ▲            │ heartbeats                                            ▼
                        └────────────┘                                   subscribers ◄── publish.Proxy

workers        the workers of a configuration. Pure
placement      which worker gets which camera. Pure
plan           what each worker must hold now, from the placement and the reports. Pure
suspects       cameras that end their workers are held back. Pure
report         what a worker reports with each heartbeat
costs          rate and cost of cameras. Pure
cameras        the cameras of the configuration in force, and what they cost. Pure
worker         CameraWorker: one run whose cameras come and go
lease          how long a worker may hold its cameras without hearing from the fleet
worker_prompts prompts that a worker puts into force while its heartbeats go on
standby        the source of a worker without cameras
process        an object in a process of its own
link           a thread per worker: heartbeats, restarts
prompts        the prompts of the fleet, for its control channel
controller     Controller: the fleet as a whole
status         state of a fleet, as records
session        open a fleet from a configuration
local          workers as processes of this machine
ray_cluster    workers as Ray actors; the only module for them that imports Ray
simulation     a fleet of any size, simulated with the pure modules
simulation_result  what it found
"""
