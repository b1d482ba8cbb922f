"""CPU, latency and memory of natsrpc beside other clients and frameworks, in one run.

A *peer* (`peers/`) is one library, used as its own users would. A *scenario* (`scenarios.py`) is
one kind of work. `driver.py` runs each peer's service and caller as processes of their own
(`worker.py`), in short windows that alternate between the peers, and takes medians. `report.py`
writes the figures.
"""
