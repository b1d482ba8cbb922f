"""An order system: services that answer, one that works, one that listens, and a desk.

    orders ──calls──> stock          a typed error of stock reaches the caller of orders
       └───enqueues `placed`───> stream ───> billing     does each, also after a crash
                    └──────────> mail                    hears of it if it is there
                                 billing ──gives up──> dead letters <──looks at── desk

| file | what it shows |
|---|---|
| `api.py` | what the services say to each other: models, errors, an `Event`, a Protocol |
| `database.py` | a `lifespan`, and a session for each request, as a dependency with `yield` |
| `stock.py` | a `Router`, and a service that includes it |
| `placing.py` | a client that is injected, an error over two hops, work after the answer |
| `reading.py` | the other router of the same service: an error of its own, a stream |
| `shop.py` | the service `orders`: the two routers, and nothing else |
| `billing.py` | a durable worker: each order is charged once, whatever is killed |
| `mail.py` | a subscriber, which asks `orders` again |
| `desk.py` | the dead letters: what a worker gave up, to be looked at, requeued or dropped |

Each runs in as many processes as you like, and each process has one connection:

    natsrpc server -js &
    for name in stock shop billing mail desk; do
        natsrpc run examples.services.orders.$name --workers 2 &
    done
    natsrpc call stock.put '{"sku": "teapot", "count": 10}'
    natsrpc call orders.place '{"sku": "teapot", "count": 2, "region": "eu"}'

The databases are SQLite files in the folder `ORDERS_FOLDER`, by default the current one.
"""
