"""Histories of the network between service and broker: silence, refusal, delay, connections cut in mid-txn."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from brokerkit.proxy import Proxy
from histories.kinds import held, release, steps
from histories.world import World

AWAY_S: Final = 4.0
"""How long the broker is away in each cycle; longer than the session, so that partitions are lost meanwhile."""


def silence(world: World) -> None:
    """Not a byte passes for a while, and what was sent meanwhile arrives afterwards."""
    proxy = proxy_of(world)

    def silent(*, now: bool) -> None:
        proxy.silent = now

    away(world, partial(silent, now=True), partial(silent, now=False), "silence")


def refusal(world: World) -> None:
    """Connections are cut and new ones refused for a while."""
    proxy = proxy_of(world)
    away(world, proxy.refuse, proxy.open, "refusal")


def away(world: World, begin: Callable[[], object], end: Callable[[], object], what: str) -> None:
    """Take the broker away in one way, again and again, and bring it back."""
    world.start().wait_for_event("checkpoint", timeout_s=60)
    for _ in range(world.cycles):
        world.pause(1.0)
        world.note(what)
        begin()
        time.sleep(AWAY_S)
        end()
        world.note("the network is back")
        again(world, what)


def delay(world: World) -> None:
    """Each message takes a while."""
    proxy = proxy_of(world)
    world.start().wait_for_event("checkpoint", timeout_s=60)
    for _ in range(world.cycles):
        proxy.delay_s = world.dice.random() * 0.3
        world.note(f"delay {proxy.delay_s:.3f} s")
        time.sleep(2.0)
        proxy.delay_s = 0.0
        again(world, "delay")


def cut_in_commit(world: World) -> None:
    """Every connection is cut, or goes silent for a while, at each step of the commit."""
    proxy = proxy_of(world)
    for step in steps(world):
        service = held(world, step)
        if world.dice.random() < 0.5:
            world.note("cut")
            proxy.cut()
            release(service)
        else:
            world.note("silence")
            proxy.silent = True
            release(service)
            time.sleep(AWAY_S)
            proxy.silent = False
        again(world, f"trouble {step}")
        world.stop()


def again(world: World, what: str) -> None:
    """Wait for a commit; a service that was fenced meanwhile is started again, as a supervisor would."""
    since_s = time.time()
    time.sleep(0.5)
    if not world.alive():
        world.note("it has ended")
        world.start()
    world.recovered(since_s, what)


def proxy_of(world: World) -> Proxy:
    """The proxy between this world's services and its broker."""
    if world.proxy is None:
        raise TypeError("this history needs a proxy")
    return world.proxy


KINDS: Final[dict[str, Callable[[World], None]]] = {
    kind.__name__: kind for kind in (silence, refusal, delay, cut_in_commit)
}
