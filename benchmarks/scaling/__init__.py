"""What natsrpc costs NATS past one machine, counted on real servers: the figures of docs/scaling.md.

`python -m benchmarks.scaling` lists the measurements. Each starts its own servers on loopback, is
bounded, and lowers its own priority, as the machine may have other work.
"""
