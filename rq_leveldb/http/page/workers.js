// Workers with their children.

import { act, call, getAll, post } from './api.js';
import { duration, el, jobLink, lines, list, moment, none, queueLink, replace, size, state, table, unreadable } from './dom.js';

function card(worker, again) {
  const number = el('input', { type: 'number', min: 0, max: 1000, value: worker.max_children, 'data-key': `most ${worker.name}`, required: true });
  return el('section', { class: 'card', 'aria-label': `Worker ${worker.name}` },
    el('h2', null, worker.name),
    list([
      ['State', state(worker.state)],
      ['Queues', worker.queues.map((name, index) => [index > 0 && ', ', queueLink(name)])],
      ['Process', worker.pid === null ? null : `${worker.pid} on ${worker.host ?? '?'}`],
      ['Started', moment(worker.started_at)],
      ['Jobs', `${worker.finished} finished, ${worker.failed} failed, ${duration(worker.working_seconds)} of work`],
    ]),
    unreadable(worker.faults),
    table(`${worker.children.length} running children${worker.max_children === null ? '' : ` of at most ${worker.max_children}`}`, [
      { title: 'Job', show: (child) => [jobLink(child.job, child.description), el('code', { class: 'under' }, child.function ?? '')] },
      { title: 'Queue', show: (child) => (child.queue === null ? none() : queueLink(child.queue)) },
      { title: 'Process', number: true, show: (child) => child.pid ?? none() },
      { title: 'Running for', number: true, show: (child) => duration(child.age_seconds) ?? none() },
      { title: 'Memory', number: true, show: (child) => size(child.memory_bytes) ?? none() },
      {
        title: 'Action', kind: 'actions',
        show: (child) => el('button', {
          type: 'button', class: 'danger', 'data-key': `stop ${child.execution}`, 'aria-label': `Stop ${child.description ?? child.job}`,
          onclick: (event) => confirm('Stop this job? Its process is killed.') && act(event.target, 'The worker was asked to stop it.', () => post(`${child.job_url}/stop`)).then(again),
        }, 'Stop'),
      },
    ], worker.children, 'No jobs are running.'),
    el('form', {
      class: 'tools',
      onsubmit: (event) => {
        event.preventDefault();
        act(event.submitter, 'The maximum will change in a moment.', () => call('PATCH', worker.url, { max_children: Number(number.value) })).then(again);
      },
    },
    worker.max_children !== null && [el('label', null, 'Maximum children', number), el('button', { type: 'submit', class: 'quiet', 'data-key': `set ${worker.name}`, 'aria-label': `Set the maximum of ${worker.name}` }, 'Set')],
    el('button', {
      type: 'button', class: 'danger', 'data-key': `shut down ${worker.name}`, 'aria-label': `Shut down ${worker.name}`,
      onclick: (event) => confirm('Let this worker finish its jobs and exit?') && act(event.target, 'The worker will exit when its jobs are done.', () => post(`${worker.url}/shutdown`)).then(again),
    }, 'Shut down')));
}

export async function workers(place) {
  async function show() {
    const found = await getAll('/v1/workers');
    replace(place, el('h1', null, 'Workers'),
      found.items.length ? found.items.map((worker) => card(worker, show))
        : el('section', { class: 'card' }, el('p', null, 'No workers are running. Start one:'), lines('In a terminal', 'rq-leveldb worker')),
      unreadable(found.unreadable));
  }
  await show();
  return { refresh: show, every: 2 };
}
