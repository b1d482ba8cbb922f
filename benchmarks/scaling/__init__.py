"""What natsrpc costs NATS past one machine, counted on real servers, for docs/scaling.md.

Each file is a program: `nice python -m benchmarks.scaling.cost`. It starts its own servers on
loopback, is bounded, and prints what the page says.
"""
