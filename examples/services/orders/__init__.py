"""An order system: two services that answer, two that listen, each with a database of its own.

    orders ──calls──> stock          a typed error of stock reaches the caller of orders
       └───publishes `placed`───> billing, mail      each gets each event once

| file | what it shows |
|---|---|
| `api.py` | what the services say to each other: models, errors, an `Event`, a Protocol |
| `database.py` | a `lifespan`, and a session for each request, as a dependency with `yield` |
| `stock.py` | a `Router`, and a service that includes it |
| `placing.py` | a client that is injected, an error over two hops, work after the answer |
| `reading.py` | the other router of the same service: an error of its own, a stream |
| `shop.py` | the service `orders`: the two routers, and nothing else |
| `billing.py`, `mail.py` | subscribers: one writes rows, the other asks `orders` again |

Each runs in as many processes as you like, and each process has one connection:

    natsrpc server &
    for name in stock shop billing mail; do
        natsrpc run examples.services.orders.$name --workers 2 &
    done
    natsrpc call stock.put '{"sku": "teapot", "count": 10}'
    natsrpc call orders.place '{"sku": "teapot", "count": 2, "region": "eu"}'

The databases are SQLite files in the folder `ORDERS_FOLDER`, by default the current one.
"""
