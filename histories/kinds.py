"""The kinds of history: each repeats one fault of the services or the broker while the load runs."""

import select
import signal
import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker
from brokerkit.client import add_partitions, committed
from brokerkit.service_process import ServiceProcess, wait_until
from histories.held_service import STEPS
from histories.world import SESSION_S, World, fenced

HELD: Final = "histories.held_service"


def sigkill(world: World) -> None:
    """Kill and start again."""
    restarted(world, world.kill, "SIGKILL and a new process")


def sigterm(world: World) -> None:
    """Stop and start again, as a rolling deployment does."""
    restarted(world, world.stop, "SIGTERM and a new process")


def restarted(world: World, end: Callable[[], None], what: str) -> None:
    """End the service in one way, again and again, and start it at once."""
    world.start().wait_for_event("checkpoint", timeout_s=60)
    for _ in range(world.cycles):
        world.pause(1.5)
        end()
        since_s = time.time()
        world.start()
        world.recovered(since_s, what)


def takeover(world: World) -> None:
    """One to three to one: two more instances join, and go again by a signal or by death."""
    world.start().wait_for_event("checkpoint", timeout_s=60)
    for cycle in range(world.cycles):
        others = [f"two-{cycle}", f"three-{cycle}"]
        for name in others:
            world.start(name)
        wait_until(lambda: sorted(map(owned, world.alive())) == [1, 1, 2], 60, name="partitions shared by three")
        for name in others:
            world.instances[name].wait_for_event("checkpoint", timeout_s=60)
        world.pause(1.5)
        killed = [name for name in others if world.dice.random() < 0.7]
        for name in others:
            if name in killed:
                world.kill(name)
            else:
                world.stop(name)
        since_s = time.time()
        wait_until(lambda: owned(world.instances["one"]) == world.partitions, 60, name="all partitions taken over")
        if killed:
            world.recoveries.append(time.time() - since_s)
        world.recovered(time.time(), "takeover", counts=False)


def zombie(world: World) -> None:
    """Pause an instance beyond its session; another one takes over; then it wakes."""
    world.start()
    for cycle in range(world.cycles):
        sleeper, heir = world.instances["one"], f"heir-{cycle}"
        sleeper.wait_ready(world.partitions, timeout_s=60)
        # One that stops in its very first txn holds up the heir until that one's timeout: docs/operations.md.
        sleeper.wait_for_event("checkpoint", timeout_s=60)
        world.pause(1.5)
        world.note("SIGSTOP one")
        sleeper.process.send_signal(signal.SIGSTOP)
        service = world.start(heir)
        service.wait_ready(world.partitions, timeout_s=60)
        world.recovered(time.time(), "the heir's start", counts=False)
        world.note("SIGCONT one")
        written = len(sleeper.events("checkpoint"))
        sleeper.process.send_signal(signal.SIGCONT)

        # It ends at its next txn if it was fenced. The first line may be of a commit from before the pause.
        def settled(sleeper: ServiceProcess = sleeper, written: int = written) -> bool:
            return sleeper.process.poll() is not None or len(sleeper.events("checkpoint")) >= written + 2

        wait_until(settled, 60, name="the zombie ends or commits")
        if sleeper.process.poll() is None:
            world.stop(heir)
        else:
            if not fenced(sleeper):
                raise AssertionError(f"the zombie ended with {sleeper.process.returncode}: {sleeper.log[-3:]}")
            world.note("the zombie has ended")
            world.start()
            world.instances["one"].wait_ready(timeout_s=60)
            world.stop(heir)


def broker_kill(world: World) -> None:
    """Kill the only broker under load and start it on its data."""
    broker = one_broker(world)
    world.start().wait_for_event("checkpoint", timeout_s=60)
    for _ in range(world.cycles):
        world.pause(1.0)
        world.note("SIGKILL broker")
        broker.kill()
        world.pause(1.0)
        broker.restart()
        world.note("broker is back")
        world.recovered(time.time(), "the broker's return")


def killed_in_commit(world: World) -> None:
    """Kill the service at each step of its commit."""
    for step in steps(world):
        held(world, step)
        world.kill()
        since_s = time.time()
        world.start()
        world.recovered(since_s, f"SIGKILL {step}")
        world.stop()


def taken_over_in_commit(world: World) -> None:
    """Kill the service at each step of a commit that is not its first, and let another instance take over."""
    for cycle, step in enumerate(steps(world)):
        held(world, step, least=2)
        world.kill()
        since_s = time.time()
        world.start(f"heir-{cycle}")
        world.recovered(since_s, f"SIGKILL {step}, taken over")
        world.stop(f"heir-{cycle}")


def broker_killed_in_commit(world: World) -> None:
    """Kill the only broker at each step of the service's commit, and let the service go on when it is back."""
    broker = one_broker(world)
    for step in steps(world):
        service = held(world, step)
        world.note(f"SIGKILL broker {step}")
        broker.kill()
        release(service)
        broker.restart()
        world.note("broker is back")
        world.recovered(time.time(), f"the broker's return, killed {step}")
        world.stop()


def partitions_added(world: World) -> None:
    """Give the input topic more partitions while it is read."""
    world.start().wait_for_event("checkpoint", timeout_s=60)
    for _ in range(world.cycles):
        world.pause(1.0)
        world.partitions += 1
        add_partitions(world.broker, world.names.transactions, world.partitions)
        world.note(f"{world.partitions} partitions")
        since_s = time.time()
        wait_until(lambda: owned(world.instances["one"]) == world.partitions, 90, name="the new partition is read")
        world.recoveries.append(time.time() - since_s)
        wait_until(lambda: world.partitions - 1 in world.load.next_offsets(), 60, name="records in the new partition")


def expired(world: World) -> None:
    """Delete records below and above what is committed, while no service reads and while one does."""
    admin = AdminClient({"bootstrap.servers": world.broker.bootstrap_servers})
    topic = world.names.transactions
    world.start().wait_for_event("checkpoint", timeout_s=60)
    for cycle in range(world.cycles):
        reading = cycle % 2 == 1
        world.pause(1.0)
        if reading:
            world.instances["one"].process.send_signal(signal.SIGSTOP)
        else:
            world.stop()
        time.sleep(1.0)  # shorter than the session; the load goes on
        # The service may have been stopped in the middle of a commit.
        found = committed(world.broker, world.names.group, topic, "read_uncommitted")
        positions = {p.partition: p.offset for p in found}
        ends = world.load.next_offsets()
        lows = {p: (max(at, 0) + ends[p] + 1) // 2 for p, at in positions.items() if p in ends and p != 0}
        lows[0] = ends[0]  # nothing of this one is left
        for future in admin.delete_records([TopicPartition(topic, p, low) for p, low in lows.items()]).values():
            future.result(30)
        world.note(f"deleted up to {lows}, committed {positions}")
        world.gone |= {(p, o) for p, o in world.load.inputs.copy() if p in lows and max(positions[p], 0) <= o < lows[p]}
        since_s = time.time()
        if reading:
            world.instances["one"].process.send_signal(signal.SIGCONT)
        else:
            world.start()

        def beyond(lows: dict[int, int] = lows) -> bool:
            offsets = committed(world.broker, world.names.group, topic, "read_uncommitted")
            return all(lows[p.partition] <= p.offset for p in offsets if p.partition in lows)

        # A commit alone proves nothing: it may be of records that were fetched before.
        wait_until(beyond, 60, name="commits beyond what expired")
        world.recoveries.append(time.time() - since_s)
        if reading:  # it had read the records in its queues before they expired
            world.stop()
            world.gone = world.unread()
            world.start().wait_for_event("checkpoint", timeout_s=60)


def one_name(world: World) -> None:
    """Start a second process of the same name: the newer wins, the older says why it ends."""
    world.start().wait_for_event("checkpoint", timeout_s=60)
    for _ in range(world.cycles):
        older = world.instances["one"]
        world.pause(1.0)
        world.start()
        since_s = time.time()
        code = older.process.wait(30)
        if not fenced(older):
            raise AssertionError(f"the older one ended with {code}: {older.log[-3:]}")
        world.recovered(since_s, "a second process of the same name")


def quiet(world: World) -> None:
    """No fault, only load: for unusual inputs."""
    world.start().wait_for_event("checkpoint", timeout_s=60)
    time.sleep(2.0 * world.cycles)


def mixed(world: World) -> None:
    """Random faults, one after the other, without waiting for recovery."""
    broker = one_broker(world)
    world.start().wait_for_event("checkpoint", timeout_s=60)
    for cycle in range(world.cycles):
        match world.dice.randrange(6):
            case 0:
                world.kill()
                world.start()
            case 1 if world.instances["one"].process.poll() is None:
                world.stop()
                world.start()
            case 2:
                world.note("SIGSTOP one for a while")
                world.instances["one"].process.send_signal(signal.SIGSTOP)
                world.pause(2 * SESSION_S)
                world.instances["one"].process.send_signal(signal.SIGCONT)
            case 3:
                world.note("SIGKILL broker")
                broker.kill()
                world.pause(0.5)
                broker.restart()
            case 4:
                world.start(f"more-{cycle}")
            case _:
                world.start()
        world.pause(2.0)
        if world.instances["one"].process.poll() is not None:
            world.start()
    world.recovered(time.time(), "the last fault", counts=False)


def owned(service: ServiceProcess) -> int:
    """How many partitions an instance has running; none if it does not answer."""
    try:
        return len(service.status()["partitions"])
    except (OSError, ValueError):
        return 0


def one_broker(world: World) -> Broker:
    """The world's broker, which must be a single one."""
    if not isinstance(world.broker, Broker):
        raise TypeError("this history needs a single broker")
    return world.broker


def steps(world: World) -> list[str]:
    """A step of the commit for each cycle: all of them in a random order, then again."""
    order = world.dice.sample(STEPS, len(STEPS))
    return [order[cycle % len(order)] for cycle in range(world.cycles)]


def held(world: World, step: str, least: int = 1) -> ServiceProcess:
    """A service that waits at a step of one of its first commits, of number `least` or later."""
    service = world.start(module=HELD, HOLD_AT=step, HOLD_TXN=str(world.dice.randrange(least, least + 3)))
    pipe = service.process.stdout
    if pipe is None or not select.select([pipe], [], [], 60)[0]:
        raise TimeoutError(f"the service did not come to {step}: {service.log[-3:]}")
    found = pipe.readline().decode().strip()
    if found != step:
        raise AssertionError(f"the service ended before {step}: {service.log[-3:]}")
    world.note(f"at {step}")
    if step == "during-commit":
        time.sleep(world.dice.random() * 0.01)
    return service


def release(service: ServiceProcess) -> None:
    """Let a held service go on."""
    if service.process.stdin is None:
        raise TypeError("this service is not held")
    service.process.stdin.write(b"\n")
    service.process.stdin.flush()


KINDS: Final[dict[str, Callable[[World], None]]] = {
    kind.__name__: kind
    for kind in (
        sigkill, sigterm, takeover, zombie, broker_kill, killed_in_commit, taken_over_in_commit,
        broker_killed_in_commit, partitions_added, expired, one_name, quiet, mixed,
    )
}  # fmt: skip
