"""Flask-RQ with our class of connections; test_examples.py has it with a URL."""

from __future__ import annotations

from rq.job import Job

from compat_tests.tools.place import Place, need, needs_flask_rq

FLASK = ('flask', '--app', 'compat_tests.tools.flask_rq_application')


@needs_flask_rq
def test_a_configuration_that_names_our_class(store: Place) -> None:
    need('flask_rq')
    job_id = store.run(*FLASK, 'enqueue').stdout.strip()
    store.run(*FLASK, 'rq', 'worker', '--burst')
    assert Job.fetch(job_id, connection=store.client).return_value() == 42
