// What needs attention, and how much there is of everything.

import { act, call, get, getAll } from './api.js';
import { count, el, lines, link, replace, unreadable } from './dom.js';
import { groupTable } from './failures.js';
import { ended } from './past.js';
import { queueTable, unserved } from './queue.js';

const GROUPS = 5;
// Seconds for which the groups are shown before they are made again, which reads up to a thousand jobs.
const FRESH = 5;

function numbers(queues, workers) {
  const total = (name) => queues.reduce((sum, queue) => sum + (queue.counts[name] ?? 0), 0);
  const children = workers.reduce((sum, worker) => sum + worker.children.length, 0);
  const most = workers.reduce((sum, worker) => sum + (worker.max_children ?? 1), 0);
  const one = (title, value, href, kind) => el('li', { class: value ? kind : null }, el('strong', null, count(value, null, kind)), el('a', { href, 'data-key': title }, title));
  return el('ul', { class: 'numbers' },
    one('failed', total('failed'), '#/failed', 'problem'),
    one('queued', total('queued'), '#/jobs/queued'),
    one('running', total('started'), '#/jobs/started'),
    one('scheduled', total('scheduled'), '#/jobs/scheduled'),
    total('deferred') > 0 && one('deferred', total('deferred'), '#/jobs/deferred'),
    total('ready_to_enqueue') > 0 && one('about to be queued', total('ready_to_enqueue'), '#/jobs/ready_to_enqueue'),
    one('finished', total('finished'), '#/jobs/finished'),
    one(`of ${most} children busy`, children, '#/workers'));
}

const FIRST_STEPS = () => el('section', { class: 'card', 'aria-label': 'First steps' }, el('h2', null, 'First steps'),
  el('p', null, 'Nothing has been enqueued here yet. Put a function into a file:'),
  lines('tasks.py', 'def add(x, y):\n    return x + y'),
  el('p', null, 'Start a worker for it, in that directory, unless one runs already:'),
  lines('In a terminal', 'rq-leveldb worker --import tasks'),
  el('p', null, 'Enqueue a job, in another terminal. It appears here:'),
  lines('In another terminal', 'rq-leveldb enqueue tasks.add :2 :3'));

export async function overview(place, detail, query) {
  const past = ended(query);
  let failed = null;
  let grouped = 0;

  function again() {
    grouped = 0;
    return show();
  }

  async function show() {
    const [queues, workers, suspension, aside] = await Promise.all([getAll('/v1/queues'), getAll('/v1/workers'), get('/v1/suspension'), getAll('/v1/unreadable'), past.load()]);
    if (!queues.items.some((queue) => queue.counts.failed)) failed = null;
    else if (failed === null || Date.now() > grouped + FRESH * 1000) {
      failed = await get(`/v1/failures?limit=${GROUPS}`);
      grouped = Date.now();
    }
    const { is_suspended: isSuspended } = suspension;
    const toggle = el('button', {
      type: 'button', class: 'quiet', 'data-key': 'suspend',
      onclick: (event) => (isSuspended || confirm('Suspend all workers? They finish their jobs and take no more.')) &&
        act(event.target, isSuspended ? 'Workers are taking jobs again.' : 'Workers take no more jobs.',
          () => (isSuspended ? call('DELETE', '/v1/suspension') : call('PUT', '/v1/suspension', {}))).then(show),
    }, isSuspended ? 'Resume all workers' : 'Suspend all workers');
    replace(place, el('h1', null, 'Overview'),
      isSuspended && el('div', { class: 'card attention tools' }, el('strong', null, 'All workers are suspended.'), toggle),
      unserved(queues.items),
      numbers(queues.items, workers.items),
      !queues.items.length && FIRST_STEPS(),
      failed?.items.length > 0 && [el('h2', null, 'Why jobs failed'), groupTable(failed, {}, again), el('p', null, link('#/failed', 'all', 'All failed jobs'))],
      queues.items.length > 0 && [el('h2', null, 'Queues'), queueTable(queues.items, show)],
      unreadable([...queues.unreadable, ...workers.unreadable, ...aside.items]),
      past.section(show),
      !isSuspended && workers.items.length > 0 && el('div', { class: 'tools' }, toggle));
  }
  await show();
  return { refresh: show, every: 10, pause: 2 };
}
