import { act, call, getAll, post } from './api.js';
import { duration, el, list, moment, replace, size, state, table, unreadable } from './dom.js';

function card(worker, again) {
  const number = el('input', { type: 'number', min: 0, max: 1000, value: worker.max_children, 'data-key': `most ${worker.name}`, required: true });
  return el('section', { class: 'card', 'aria-label': `Worker ${worker.name}` },
    el('h2', null, worker.name),
    list([
      ['State', state(worker.state)],
      ['Queues', worker.queues.join(', ')],
      ['Process', worker.pid === null ? null : `${worker.pid} on ${worker.host ?? '?'}`],
      ['Started', moment(worker.started_at)],
      ['Jobs', `${worker.finished} finished, ${worker.failed} failed, ${duration(worker.working_seconds)} of work`],
    ]),
    unreadable(worker.faults),
    el('form', {
      class: 'tools',
      onsubmit: (event) => {
        event.preventDefault();
        act(event.submitter, 'The maximum will change in a moment.', () => call('PATCH', worker.url, { max_children: Number(number.value) })).then(again);
      },
    },
    worker.max_children !== null && [el('label', null, 'Maximum children', number), el('button', { type: 'submit', class: 'quiet', 'data-key': `set ${worker.name}` }, 'Set')],
    el('button', {
      type: 'button', class: 'danger', 'data-key': `stop ${worker.name}`,
      onclick: (event) => confirm('Let this worker finish its jobs and exit?') && act(event.target, 'The worker will exit when its jobs are done.', () => post(`${worker.url}/shutdown`)).then(again),
    }, 'Shut down')),
    table(`${worker.children.length} running children${worker.max_children === null ? '' : ` of at most ${worker.max_children}`}`, [
      { title: 'Job', show: (child) => el('a', { href: `#/job/${child.job}`, 'data-key': `child ${child.execution}` }, child.job) },
      { title: 'Process', number: true, show: (child) => child.pid ?? '–' },
      { title: 'Running for', number: true, show: (child) => duration(child.age_seconds) ?? '–' },
      { title: 'Memory', number: true, show: (child) => size(child.memory_bytes) ?? '–' },
    ], worker.children, 'No jobs are running.'));
}

export async function workers(place) {
  async function show() {
    // Do not replace a number while somebody is typing it.
    if (document.activeElement?.type === 'number') return;
    const found = await getAll('/v1/workers');
    replace(place, el('h1', null, 'Workers'),
      found.items.length ? found.items.map((worker) => card(worker, show)) : el('p', { class: 'card empty' }, 'No workers are running. Start one with: rq-leveldb worker'),
      unreadable(found.unreadable));
  }
  await show();
  return { refresh: show, every: 2 };
}
