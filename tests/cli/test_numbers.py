"""Numbers that make no sense are refused in a sentence, whichever option or variable they come from."""

from __future__ import annotations

import pytest

from rq_leveldb.http.settings import BadSetting, HttpSettings
from rq_leveldb.process import most_processes
from rq_leveldb.worker import Settings
from tests.cli.support import Call

HUGE = '99999999999999999999'
NONSENSE = ('-2', HUGE, 'x', 'nan', '1e400', '')
WORKER = ('worker', '--burst', '--no-http')
ENQUEUE = ('enqueue', 'json.dumps', ':1')

REFUSED: dict[tuple[str, ...], tuple[str, ...]] = {
    (*WORKER, '--results-ttl'): NONSENSE,
    (*WORKER, '--worker-ttl'): ('0', *NONSENSE),
    (*WORKER, '--maintenance-interval'): NONSENSE,
    (*WORKER, '--job-monitoring-interval'): ('0', *NONSENSE),
    (*WORKER, '--max-jobs'): ('0', *NONSENSE),
    (*WORKER, '--max-idle-time'): NONSENSE,
    (*WORKER, '--max-children'): ('0', '99999999', *NONSENSE),
    (*WORKER, '--grace'): ('inf', '-2', 'x', 'nan', '1e400'),
    (*WORKER, '--max-crashes'): ('0', '-2', 'x', 'nan'),
    (*WORKER, '--job-memory'): ('0', '99999999T', *NONSENSE),
    (*WORKER, '--jobs-per-child'): ('0', '-2', 'x', 'nan'),
    (*WORKER, '--jobs-per-child', '2', '--child-memory'): ('0', '99999T', *NONSENSE),
    (*WORKER, '--capture-output'): ('0', '513M', *NONSENSE),
    (*WORKER, '--keep-finished'): NONSENSE,
    (*WORKER, '--keep-failed'): NONSENSE,
    ('worker-pool', '--burst', '-n'): ('0', '99999999', *NONSENSE),
    ('children',): ('-2', '99999999', HUGE, 'x'),
    ('suspend', '--duration'): ('0', *NONSENSE),
    (*ENQUEUE, '--timeout'): ('0', HUGE, 'x', 'nan', ''),
    (*ENQUEUE, '--ttl'): ('0', *NONSENSE),
    (*ENQUEUE, '--result-ttl'): (HUGE, 'x', 'nan', ''),
    (*ENQUEUE, '--failure-ttl'): (HUGE, 'x', 'nan', ''),
    (*ENQUEUE, '--schedule-in'): (HUGE, 'x', 'nan', ''),
    (*ENQUEUE, '--schedule-at'): (HUGE, 'x', '0', ''),
    (*ENQUEUE, '--retry-max'): NONSENSE,
    (*ENQUEUE, '--retry-max', '1', '--retry-interval'): NONSENSE,
    ('jobs', '--limit'): ('0', *NONSENSE),
    ('jobs', '--since'): (HUGE, 'x', 'nan', ''),
    ('top', '--interval'): ('0', *NONSENSE),
    ('info', '--interval'): NONSENSE,
    ('http', '--http', '127.0.0.1:0', '--threads'): ('0', *NONSENSE),
    ('http', '--http', '127.0.0.1:0', '--processes'): ('0', *NONSENSE),
}  # fmt: skip


@pytest.mark.parametrize('command', REFUSED, ids=' '.join)
def test_an_option(command: tuple[str, ...], call: Call) -> None:
    for value in REFUSED[command]:
        code, text = call(*command, value)
        assert (code, 'Traceback' in text) == (2, False), (value, text)
        assert 'Error: ' in text


@pytest.mark.parametrize(
    ('variable', 'values'),
    [
        ('RQ_LEVELDB_MAX_CHILDREN', ('0', '-1', '99999999', HUGE, 'x', 'nan')),
        ('RQ_LEVELDB_JOBS_PER_CHILD', ('0', '-1', 'x', 'nan')),
        ('RQ_LEVELDB_KEEP_FINISHED', ('-1', HUGE, 'x')),
        ('RQ_LEVELDB_KEEP_FAILED', ('-1', HUGE, 'x')),
    ],
)
def test_a_variable(variable: str, values: tuple[str, ...], call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in values:
        monkeypatch.setenv(variable, value)
        code, text = call(*WORKER)
        assert (code, 'Traceback' in text) == (2, False), (value, text)


@pytest.mark.parametrize(
    'name', [name for name, item in HttpSettings.__dataclass_fields__.items() if item.type == 'int']
)
def test_a_variable_of_the_front(name: str) -> None:
    variable = HttpSettings.__dataclass_fields__[name].metadata['variable']
    values = ['0', '-1', 'x', 'nan', '1.5', '²', '9' * 5000]
    if name in ('threads', 'processes'):
        values.append(HUGE)
    for value in values:
        with pytest.raises(BadSetting, match='rite a whole number') as told:
            HttpSettings.from_environment({variable: value})
        assert variable in str(told.value)


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        (Settings(max_children=-1), 'max_children must be 0 or more'),
        (Settings(max_children=most_processes() + 1), 'processes fit into the memory of this machine'),
        (Settings(grace=-1), 'grace must be 0 seconds or more, not -1'),
        (Settings(grace=float('nan')), 'leave it out for no limit'),
        (Settings(capture_output=-1), 'capture_output must be from 0 to 512 MiB'),
        (Settings(capture_output=1 << 30), 'the largest value of a key, not 1024 MiB'),
        (Settings(jobs_per_child=0), 'jobs_per_child must be 1 or more'),
    ],
)
def test_settings(settings: Settings, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings.check()


def test_thousands_of_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RQ_LEVELDB_MAX_CHILDREN', '9' * 5000)
    with pytest.raises(ValueError, match='RQ_LEVELDB_MAX_CHILDREN must be a number of 0 or more'):
        Settings()
