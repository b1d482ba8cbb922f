"""The command line `natsrpc`: each command in the file of its name, put together in `app`."""
