"""Who watches the two sides of a job: folders by their events, services by what they tell."""

from __future__ import annotations

from syncer.config import JobSettings, Settings
from syncer.daemon.ears import Ear
from syncer.daemon.schedule import Cadence
from syncer.daemon.worker import Outlook, Watcher, Worker
from syncer.engine.ports import Store
from syncer.jobs import building
from syncer.jobs.pairs import place_of
from syncer.jobs.stopping import StoppableClock


def cadence_of(settings: Settings, job: JobSettings) -> Cadence:
    """A job's times. A folder that is watched need not be looked at in between."""
    daemon = settings.daemon
    told = job.watch and job.remote.folder is not None
    return Cadence(
        quiet=daemon.quiet,
        gather=daemon.gather,
        scan=daemon.scan,
        interval=None if told else job.interval,
        watch=job.watch,
    )


def outlook_of(settings: Settings, job: JobSettings) -> Outlook:
    """Without `watch`, folders are only looked at, at every interval."""

    def local(worker: Worker) -> Watcher | None:
        from syncer.watch.folder import FolderWatch

        if not job.watch:
            return None
        return FolderWatch(
            str(job.local), changed=worker.notice_local, said=worker.say, interval=job.interval
        )

    def remote(worker: Worker) -> Watcher | None:
        from syncer.watch.folder import FolderWatch

        folder = job.remote.folder
        if folder is not None:
            if not job.watch:
                return None
            return FolderWatch(
                str(folder), changed=worker.notice_remote, said=worker.say, interval=job.interval
            )
        return Ear(
            job.name,
            lambda: _listening(settings, job, worker),
            heard=worker.hear_remote,
            regained=worker.encourage,
        )

    return Outlook(local=local, remote=remote)


def _listening(settings: Settings, job: JobSettings, worker: Worker) -> Store:
    """A store of its own: a question that is left open for long is in nobody's way."""
    place = place_of(settings, job)
    return building.service(settings, job, place, StoppableClock(worker.stopping))
