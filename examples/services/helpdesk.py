"""The smallest service: one typed function, served and called.

natsrpc run examples/services/helpdesk.py
natsrpc call help '{"topic": "nats"}'
"""

from __future__ import annotations

from pydantic import BaseModel

import natsrpc


class Question(BaseModel):
    """A question to the desk."""

    topic: str


class Answer(BaseModel):
    """The desk's answer."""

    text: str


service = natsrpc.Service("helpdesk", version="1.0.0", description="answers questions")


@service.handler("help")
async def help(question: Question) -> Answer:
    """Answer one question."""
    return Answer(text=f"I can help with {question.topic}")


if __name__ == "__main__":
    natsrpc.run(service)
