"""What the demo does after its report with `--stay`: the shop goes on, so that the page has something to show."""

import threading
import time

from encoder.data.event_log import EventLog
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from streams.demo import shop
from streams.demo.errors import DemoError
from streams.demo.worker_process import WorkerProcess
from streams.monitor.monitor import Monitor

EVENTS_PER_S = 100  # little work for a machine on which the demo may stay for hours
LOOK_EVERY_S = 0.5


def stay(settings: Settings, worker: WorkerProcess, log: EventLog) -> None:
    """Send the events of the shop's next days, and follow them with a worker and a monitor, until Ctrl-C.

    Raises KeyboardInterrupt at Ctrl-C, and DemoError when the worker ends.
    """
    worker.start()
    monitor = Monitor(settings, settings.evaluation_topic, settings.metrics_topic)
    monitor.start()
    replay = Replay(settings, settings.behavior_topic, EVENTS_PER_S)
    later = shop.later_records(log, shop.later_logs(), int(time.time() * 1000))
    sender = threading.Thread(target=replay.run, args=(later,), name="replay", daemon=True)
    sender.start()
    try:
        while worker.pid is not None:
            monitor.snapshot()  # raises the error of a monitor that ended
            time.sleep(LOOK_EVERY_S)
        raise DemoError(f"the worker ended{worker.last_lines()}")
    finally:
        replay.stop()
        sender.join()
        monitor.stop()
